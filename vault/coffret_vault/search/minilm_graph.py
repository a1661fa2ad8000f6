"""MiniLM as a graph of our own, which multiplies in 8-bit integers.

The published file keeps its weights as 8-bit integers and widens all of them to floats whenever it
is loaded, which takes as long as a hundred questions. Here they stay as they are, with the scale of
each column, and the other side of each product is rounded to 8 bits too, between its own least and
greatest number. docs/adr/0040 has what that saves, and what it costs in likeness.

The model is all-MiniLM-L6-v2 (Wang et al., "MiniLM", NeurIPS 2020; Reimers and Gurevych,
"Sentence-BERT", EMNLP 2019): an encoder of six layers, 384 wide, averaged over the text's pieces.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from coffret_vault.search.onnx_file import FLOAT, GraphWriter, read_tensors

if TYPE_CHECKING:
    from coffret_vault.search.onnx_file import Array

PIECES: Final = "pieces"
"""The input: the numbers of a text's WordPieces, shape ``(1, how many)``."""
LONGEST: Final = 256
"""How many pieces a text may have: what the model was trained on."""
_LAYERS: Final = 6
_HEADS: Final = 12
_EPSILON: Final = 1e-12
_MICROSOFT: Final = "com.microsoft"
_PRODUCTS: Final = 6
"""Matrices of a layer, in the order of the file: query, key, value, output, and two more."""


def minilm_graph(weights: bytes) -> bytes:
    """The model that answers the vector, not yet of length 1, of one text: shape ``(1, 384)``.

    Args:
        weights: the published file, whose bytes the caller has compared with the known hash.
    """
    return _Writer(read_tensors(weights)).write()


class _Writer:
    def __init__(self, tensors: dict[str, Array]) -> None:
        self._tensors = tensors
        self._graph = GraphWriter()
        # The published graph was traced by a tool, which numbered the matrices as it met them.
        self._products = [
            name.removesuffix("_q")
            for name in tensors
            if name.startswith("val_") and name.endswith("_q")
        ]

    def write(self) -> bytes:
        x = self._embeddings()
        for layer in range(_LAYERS):
            x = self._layer(x, layer)
        axis = self._graph.tensor(np.array([1]))
        mean = self._graph.node("ReduceMean", x, axis, keepdims=0)
        return self._graph.model((PIECES, 2), (mean, 2))

    def _embeddings(self) -> str:
        graph, base = self._graph, "embeddings"
        words, scales = self._stored(f"inner.{base}.word_embeddings.weight")
        word = graph.node("Cast", graph.node("Gather", words, PIECES), to=FLOAT)
        word = graph.node("Mul", word, graph.node("Gather", scales, PIECES))
        start, length = graph.tensor(np.array([0])), graph.node("Shape", PIECES, start=1, end=2)
        place = graph.node("Slice", graph.tensor(self._places()), start, length, start)
        total = graph.node("Add", word, place)
        return graph.node("LayerNormalization", total, *self._norm(base), epsilon=_EPSILON)

    def _stored(self, name: str) -> tuple[str, str]:
        """A matrix of 8-bit numbers and its scales, as they are in the file."""
        both = (self._tensors[f"{name}_q"], self._tensors[f"{name}_scale"])
        return self._graph.tensor(both[0]), self._graph.tensor(both[1])

    def _places(self) -> Array:
        """What is added to a piece for its place, and for being of the first text, as all are."""
        name = "inner.embeddings.position_embeddings.weight"
        places = self._tensors[f"{name}_q"][:LONGEST] * self._tensors[f"{name}_scale"][:LONGEST]
        first: Array = self._tensors["inner.embeddings.token_type_embeddings.weight"][0]
        return np.asarray(places + first, np.float32)

    def _layer(self, x: str, layer: int) -> str:
        graph, base = self._graph, f"encoder.layer.{layer}"
        *attending, out, wide, narrow = self._products[layer * _PRODUCTS :][:_PRODUCTS]
        three = [f"{base}.attention.self.{name}" for name in ("query", "key", "value")]
        joined = graph.nodes(
            "Split", [self._product(x, attending, three)], 3, axis=-1, num_outputs=3
        )
        seen = graph.node("MultiHeadAttention", *joined, domain=_MICROSOFT, num_heads=_HEADS)
        seen = self._product(seen, [out], [f"{base}.attention.output.dense"])
        x = self._added(x, seen, f"{base}.attention.output")
        more = self._product(x, [wide], [f"{base}.intermediate.dense"])
        more = graph.node("Gelu", more, domain=_MICROSOFT)
        return self._added(
            x, self._product(more, [narrow], [f"{base}.output.dense"]), f"{base}.output"
        )

    def _product(self, x: str, matrices: list[str], biases: list[str]) -> str:
        """``x`` times these matrices side by side, and their biases added."""
        tensors = self._tensors
        sides = (
            np.concatenate([tensors[f"{name}_q"] for name in matrices], axis=1),
            np.concatenate([tensors[f"{name}_scale"][0] for name in matrices]),
            np.concatenate([tensors[f"inner.{name}.bias"] for name in biases]),
        )
        matrix, scales, bias = map(self._graph.tensor, sides)
        operands = (x, matrix, scales, "", bias)
        return self._graph.node("DynamicQuantizeMatMul", *operands, domain=_MICROSOFT)

    def _added(self, x: str, more: str, name: str) -> str:
        """Both together, made even again."""
        norm = (x, more, *self._norm(name))
        kind = "SkipLayerNormalization"
        return self._graph.node(kind, *norm, domain=_MICROSOFT, epsilon=_EPSILON)

    def _norm(self, name: str) -> tuple[str, str]:
        base = f"inner.{name}.LayerNorm"
        tensors = (self._tensors[f"{base}.weight"], self._tensors[f"{base}.bias"])
        return self._graph.tensor(tensors[0]), self._graph.tensor(tensors[1])
