"""ONNX files: what is written is what onnxruntime reads, and what is read is what was written."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnxruntime  # type: ignore[import-untyped]
import pytest

from coffret_vault.search.onnx_file import GraphWriter, read_tensors

if TYPE_CHECKING:
    from coffret_vault.search.onnx_file import Array


def _answer(model: bytes, given: list[int]) -> Array:
    """What onnxruntime makes of numbers."""
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"numbers": np.array([given])})[0])


def test_a_written_graph_is_run() -> None:
    """Operators, constants, and attributes that are fractions or negative numbers arrive."""
    graph = GraphWriter()
    wide = graph.node("Cast", "numbers", to=1)
    halves = graph.nodes("Split", [wide], 2, axis=-1, num_outputs=2)
    scaled = graph.node("LeakyRelu", halves[1], alpha=0.25)
    total = graph.node("Add", scaled, graph.tensor(np.array([100, 200], np.float32)))
    answer = _answer(graph.model(("numbers", 2), (total, 2)), [1, 2, -8, 40])
    assert answer.tolist() == [[98.0, 240.0]]


def test_an_operator_beyond_the_standards_is_run() -> None:
    """Those of onnxruntime's own domain are found, with inputs left out between others."""
    graph = GraphWriter()
    wide = graph.node("Cast", "numbers", to=1)
    matrix = graph.tensor(np.array([[1], [-1], [2]], np.int8))
    operands = (wide, matrix, graph.tensor(np.array([0.5], np.float32)), "")
    bias = graph.tensor(np.array([3], np.float32))
    found = graph.node("DynamicQuantizeMatMul", *operands, bias, domain="com.microsoft")
    answer = _answer(graph.model(("numbers", 2), (found, 2)), [0, 51, 255])
    assert answer.tolist() == [[pytest.approx(3 + 0.5 * (510 - 51), rel=1e-5)]]


def test_tensors_are_read_as_they_were_written() -> None:
    """Type, shape and numbers of constants, of none and of many bytes, come back."""
    kinds = (np.float32, np.int8, np.int64, np.bool_)
    shapes = ((), (0,), (3,), (2, 5), (1, 300, 130))
    arrays = [
        (np.arange(np.prod(shape)) % 120 - 60).reshape(shape).astype(kind)
        for kind in kinds
        for shape in shapes
    ]
    graph = GraphWriter()
    names = [graph.tensor(array) for array in arrays]
    graph.node("ReduceMean", names[0], keepdims=0)
    read = read_tensors(graph.model(("x" * 200, 1), (names[0], 0)))
    assert list(read) == names
    for array, found in zip(arrays, read.values(), strict=True):
        assert (array.dtype, array.shape) == (found.dtype, found.shape)
        assert (array == found).all()
