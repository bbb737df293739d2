"""All forms of attack, with and without a token."""

from collections.abc import Iterator

from proxies.form import Form
from proxies.heads import heads
from proxies.lengths import lengths, trailers
from proxies.sequences import sequences
from proxies.upgrades import upgrades

FORMS = (*upgrades(), *sequences(), *lengths(), *trailers(), *heads())
_ANSWERED_EARLY = len([*upgrades(), *sequences()])


def attacks() -> Iterator[tuple[Form, bool]]:
    """Yield each form, and whether it is tried with a token.

    Without one, the answer comes before the body: where that matters, both are tried.
    """
    for number, form in enumerate(FORMS):
        yield form, True
        if number < _ANSWERED_EARLY:
            yield form, False
