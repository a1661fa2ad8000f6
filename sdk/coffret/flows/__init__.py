"""What Coffret does with a server, as generators that touch no network.

A flow yields a :class:`~coffret.flows.http.Request` and is sent the
:class:`~coffret.flows.http.Response`; its return value is the result. Two small drivers in
``coffret.transport`` run the same flow for ``Vault`` and for ``AsyncVault``.
"""
