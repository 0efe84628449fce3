"""The context in which a function of a user's is called: a copy, so it leaks into no other call."""

from __future__ import annotations

import contextvars
import decimal


def own_context() -> contextvars.Context:
    """A copy of this context, for one call: what it sets ends with it, decimals included.

    What the library has put into the context, such as the job for log lines and the span, is there.
    """
    context = contextvars.copy_context()
    # a copied context has the same decimal context, and to set `prec` would change that
    context.run(decimal.setcontext, decimal.getcontext().copy())
    return context
