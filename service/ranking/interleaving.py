"""Team-draft interleaving: one list, drafted from the lists of two variants, and which of them put each item there.

Rounds, as captains choose teams (Radlinski, Kurup and Joachims, "How Does Clickthrough Data Reflect Retrieval
Quality?", CIKM 2008): a coin says who picks first, each side picks its best item that is not in the list yet, and
clicks are credited to the side that picked what was clicked. One thing is added: an item that both would pick at the
start of a round is in the list for both, and is credited to nobody. Its clicks say nothing about who is better;
crediting them by coin only adds noise. Picks with credit come in pairs at neighbouring places, in an order by coin, so
whoever clicks without looking credits both sides alike.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import NamedTuple

import numpy as np

from service.ranking.cursors import Cursor
from service.ranking.propensities import Chances
from service.ranking.results import Answer, Notice, shortfall
from service.ranking.served_model import Catalogue

SHORT = "fewer_items_than_k"
COIN_BYTES = 64
"""512 coins, one a round; a list of 1,000 items has 500 rounds at most."""


class Pick(NamedTuple):
    """An item of the list.

    Attributes:
        item_id: of it.
        team: 0 or 1 for the side that is credited; None where nobody is.
    """

    item_id: str
    team: int | None


@dataclass(frozen=True)
class Teams:
    """Two variants that draft a list together.

    Attributes:
        names: of the variants.
        catalogues: of the variants.
        seed: of the coins; the same one tosses the same coins.
    """

    names: tuple[str, str]
    catalogues: tuple[Catalogue, Catalogue]
    seed: str

    @property
    def version(self) -> str:
        """Identity of both bundles."""
        return "+".join(catalogue.version for catalogue in self.catalogues)


def coins(seed: str) -> Iterator[int]:
    """Zeros and ones that depend on nothing but the seed: who picks first, round by round."""
    bits = int.from_bytes(blake2b(seed.encode(), digest_size=COIN_BYTES, person=b"recsys-draft").digest())
    return ((bits >> place) & 1 for place in range(8 * COIN_BYTES))


def draft(lists: tuple[Iterable[str], Iterable[str]], k: int, tosses: Iterable[int]) -> list[Pick]:
    """A list of k items from two, each without repetition, best first; shorter only where both together are.

    Args:
        lists: ids, best first; k of each suffice.
        k: items wanted.
        tosses: who picks first, 0 or 1, a round each.
    """
    picks: list[Pick] = []
    taken: set[str] = set()
    tosses = iter(tosses)
    ends: tuple[Iterator[str], Iterator[str]] = (iter(lists[0]), iter(lists[1]))
    heads = [next(ends[0], None), next(ends[1], None)]

    def take(item_id: str, team: int | None) -> None:
        picks.append(Pick(item_id, team))
        taken.add(item_id)
        for side in (0, 1):
            while heads[side] in taken:
                heads[side] = next(ends[side], None)

    while len(picks) < k and any(head is not None for head in heads):
        first, second = heads
        if first is None or second is None or first == second:
            both = second if first is None else first
            assert both is not None
            take(both, None)
            continue
        toss = next(tosses)
        for team in (toss, 1 - toss)[: k - len(picks)]:
            # There is one: what the other side has just taken was not the last, or both would have picked it.
            head = heads[team]
            assert head is not None
            take(head, team)
    return picks


def split_cursor(after: Cursor, teams: Teams) -> tuple[Cursor, Cursor]:
    """Where the list of each variant goes on, after pages that both made."""
    n_first, n_second = map(len, teams.catalogues)
    shown: tuple[list[int], list[int]] = ([], [])
    for row in after.shown:
        if row < n_first + n_second:
            shown[row >= n_first].append(row if row < n_first else row - n_first)
        else:  # a newcomer, whose numbers begin behind the rows of a catalogue
            number, side = divmod(row - n_first - n_second, 2)
            shown[side].append(len(teams.catalogues[side]) + number)
    first, second = (
        replace(after, model_version=catalogue.version, shown=tuple(rows))
        for catalogue, rows in zip(teams.catalogues, shown, strict=True)
    )
    return first, second


def join(teams: Teams, answers: tuple[Answer, Answer], k: int, after: tuple[Cursor, Cursor] | None) -> Answer:
    """The answer whose list is drafted from two.

    Scores, sources, reasons and fields of an item are those of the variant that put it there, of the first one where
    both did.

    Args:
        teams: who made the answers.
        answers: to the same query.
        k: items wanted.
        after: where each of their lists went on; None at the start.
    """
    found = [{item.item_id: place for place, item in enumerate(answer.items)} for answer in answers]
    picks = draft((found[0], found[1]), k, coins(teams.seed))
    shown_before = [(), ()] if after is None else [cursor.shown for cursor in after]
    ids = [pick.item_id for pick in picks]
    rank = _n_shown(teams, shown_before) + 1
    origins = [_origin(pick, found) for pick in picks]
    items = tuple(
        answers[side].items[place]._replace(rank=rank + number) for number, (side, place) in enumerate(origins)
    )
    left = any(answer.has_more or len(places.keys() - set(ids)) for answer, places in zip(answers, found, strict=True))
    return Answer(
        teams.version,
        answers[0].tier,
        "+".join(dict.fromkeys(answer.scorer for answer in answers)),
        items,
        (*_notices(answers), *shortfall(len(items), k)),
        tuple(answers[side].sources[place] for side, place in origins),
        _shown(teams, shown_before, ids),
        left,
        tuple(answers[side].reasons[place] for side, place in origins if answers[side].reasons),
        tuple(answers[side].fields[place] for side, place in origins if answers[side].fields),
        teams=tuple(None if pick.team is None else teams.names[pick.team] for pick in picks),
        chances=_chances(answers, (found[0], found[1]), k, teams.seed),
    )


def _chances(
    answers: tuple[Answer, Answer], lists: tuple[Iterable[str], Iterable[str]], k: int, seed: str
) -> Chances | None:
    """How likely items are to be in the draft: in each round both sides pick, so only the last place is drawn.

    None where nobody asked, and where newcomers are drawn into the lists beforehand.
    """
    if any(answer.chances is None or answer.chances.each for answer in answers):
        return None
    drafts = [{pick.item_id for pick in draft(lists, k, tosses)} for tosses in (coins(seed), _turned(coins(seed)))]
    both = drafts[0] & drafts[1]
    return Chances({item_id: 1.0 if item_id in both else 0.5 for item_id in drafts[0] | drafts[1]})


def _turned(tosses: Iterator[int]) -> Iterator[int]:
    return (1 - toss for toss in tosses)


def _origin(pick: Pick, found: Sequence[dict[str, int]]) -> tuple[int, int]:
    """The answer that an item is taken from, and its place there."""
    side = pick.team if pick.team is not None else int(pick.item_id not in found[0])
    return side, found[side][pick.item_id]


def _shown(teams: Teams, before: Sequence[tuple[int, ...]], ids: Sequence[str]) -> tuple[int, ...]:
    """What was returned so far: rows of the first catalogue, those of the second behind its end, then newcomers.

    A newcomer has a number for each side that knows it as one, even for the first.
    """
    n_rows = sum(map(len, teams.catalogues))
    offset, rows, new = 0, set[int](), set[int]()
    for side, (catalogue, shown) in enumerate(zip(teams.catalogues, before, strict=True)):
        n = len(catalogue)
        told = {*shown, *_places(catalogue, ids)}
        rows |= {offset + row for row in told if row < n}
        new |= {n_rows + 2 * (row - n) + side for row in told if row >= n}
        offset += n
    return (*sorted(rows), *sorted(new))


def _places(catalogue: Catalogue, ids: Sequence[str]) -> list[int]:
    """As cursors name them: rows, and numbers of newcomers behind these; without items that are neither."""
    newcomers = catalogue.overlay.newcomers
    new = [len(catalogue) + newcomers.numbers[place] for place in newcomers.places(ids)]
    return [row for row in catalogue.rows(ids).tolist() if row >= 0] + new


def _ids(catalogue: Catalogue, shown: tuple[int, ...]) -> list[str]:
    """Of what cursors name so."""
    n, newcomers = len(catalogue), catalogue.overlay.newcomers
    places = [newcomers.numbered(row - n) for row in shown if row >= n]
    rows = np.array([row for row in shown if row < n], dtype=np.int64)
    return catalogue.ids(rows) + [newcomers.ids[place] for place in places if place is not None]


def _n_shown(teams: Teams, before: Sequence[tuple[int, ...]]) -> int:
    """Items that were returned so far; most have a row in both catalogues."""
    first, second = (set(_ids(catalogue, shown)) for catalogue, shown in zip(teams.catalogues, before, strict=True))
    return len(first | second)


def _notices(answers: Sequence[Answer]) -> list[Notice]:
    told = (notice for answer in answers for notice in answer.notices if notice.code != SHORT)
    return list(dict.fromkeys(told))
