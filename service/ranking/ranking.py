"""Ranking: a batch of queries answered together: one encode, and a search for all that may get the same items.

All who may get the same items (any, or those of one filter) are searched for at once. Candidates make a search of their
own over these few rows. Boosts change the order, and of what was bought before the index knows nothing: with either the
scores of all items are computed.
"""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from scipy.sparse import csr_array

from recsys_vae.protocols import BoolArray, Float32Array, Int64Array
from recsys_vae.recommender import CONTENT, HISTORY, POPULAR, POSTERIOR, SEGMENT, Users
from recsys_vae.repeats import REPEAT, sources
from recsys_vae.top_k import top_k
from service.ranking import explanations, exploration, plain_lists, repeats
from service.ranking.arrivals import Arrivals
from service.ranking.propensities import Chances, certain, of_list
from service.ranking.query_resolution import NOTHING, ResolvedQuery, resolve_all, stack
from service.ranking.recency import recency_of
from service.ranking.reordering import Deeper, Ranked, selected, shortened
from service.ranking.results import (
    POPULARITY_SCORER,
    SEGMENT_SCORER,
    USUAL,
    Answer,
    Cause,
    Float64Array,
    Notice,
    Query,
    RankedItem,
    ranked,
    shortest,
    shortfall,
)
from service.ranking.served_model import Catalogue
from service.ranking.steps import Steps, finished

BY_HISTORY = (POSTERIOR, HISTORY, CONTENT)
"""Tiers whose lists the items of the history can explain."""
SCORERS = {POPULAR: POPULARITY_SCORER, SEGMENT: SEGMENT_SCORER}
"""Of the tiers that the model has no part in."""
NO_HISTORY = Notice("no_history", "No history to go by: these are the items that most users have touched.")
NOTHING_TO_REPEAT = Notice("nothing_to_repeat", "The history holds no liked item of the catalogue to repeat.")
HISTORY_NOT_USED = Notice(
    "history_not_used",
    "The history only keeps its items out of the list: where it is so short, others were better served without it.",
)

NAMED, NAMED_AT_ONCE = 1 / 50, 200
"""Work of an item whose causes are named, in plain requests; items between two pauses."""


def answer_all(catalogue: Catalogue, queries: Sequence[Query]) -> Steps[list[Answer | Exception]]:
    """An answer or an error for each query, in steps: one that cannot be answered does not sink the others."""
    plain = plain_lists.answers(catalogue, queries)
    resolved = resolve_all(catalogue, [query for query, found in zip(queries, plain, strict=True) if found is None])
    answered = iter((yield from _attempt(catalogue, [one for one in resolved if isinstance(one, ResolvedQuery)])))
    others = iter([next(answered) if isinstance(one, ResolvedQuery) else one for one in resolved])
    return [next(others) if found is None else found for found in plain]


def answer(catalogue: Catalogue, query: Query) -> Answer:
    """The answer to one query; raises what keeps it from being answered."""
    (found,) = finished(answer_all(catalogue, [query]))
    if isinstance(found, Exception):
        raise found
    return found


def _attempt(catalogue: Catalogue, queries: list[ResolvedQuery]) -> Steps[Sequence[Answer | Exception]]:
    if not queries:
        return []
    try:
        return (yield from _answers(catalogue, queries))
    except Exception as error:
        if len(queries) == 1:
            return [error]
    outcomes: list[Answer | Exception] = []
    for question in queries:
        outcomes += yield from _attempt(catalogue, [question])
    return outcomes


def _answers(catalogue: Catalogue, queries: list[ResolvedQuery]) -> Steps[list[Answer]]:
    histories = stack([q.history.ascending for q in queries], [q.history.weights for q in queries], len(catalogue))
    order = _order(queries, len(catalogue)) if catalogue.by_order else None
    asked = [(question.query.events, question.query.day) for question in queries]
    recency = recency_of(asked, catalogue.rules) if catalogue.goes_by_recency else None
    users = catalogue.chain.encode(histories, _metadata(catalogue, queries), order, recency=recency)
    lists = _search(catalogue, queries, users)
    tiers, scorers = users.tiers, catalogue.chain.scorers(users)
    answers: list[Answer] = []
    for place, question in enumerate(queries):
        scorer = SCORERS.get(tiers[place], scorers[place])
        if question.is_plain and tiers[place] in BY_HISTORY:
            answers.append(_plain_answer(catalogue, question, lists[place], tiers[place], scorer))
            continue
        if question.purchases is not None:
            scorer = f"{SCORERS.get(tiers[place], catalogue.chain.bundle.manifest.model)}+{REPEAT}"
        query = question.query
        is_needed = query.explain or query.caps or query.quotas or question.arrivals is not None
        user = users[np.array([place])] if is_needed else None
        answers.append((yield from _answer(catalogue, question, lists[place], tiers[place], scorer, user)))
    return answers


def _order(queries: Sequence[ResolvedQuery], n_items: int) -> csr_array:
    """Places in time of what each user liked, of the pattern that the model is shown."""
    likes = [question.history.weights > 0 for question in queries]
    rows = [question.history.ascending[liked] for question, liked in zip(queries, likes, strict=True)]
    places = [question.history.places[liked] for question, liked in zip(queries, likes, strict=True)]
    return stack(rows, places, n_items)


def _metadata(catalogue: Catalogue, queries: Sequence[ResolvedQuery]) -> csr_array | None:
    """What else is known of the users, one row each; None where nothing is known of anybody."""
    schema = catalogue.chain.bundle.tiers.schema
    rows = [question.metadata for question in queries]
    if schema is None or all(row is None for row in rows):
        return None
    columns = [NOTHING if row is None else row.indices for row in rows]
    values = [NOTHING.astype(np.float32) if row is None else row.data for row in rows]
    return stack(columns, values, schema.width)


def _search(catalogue: Catalogue, queries: list[ResolvedQuery], users: Users) -> dict[int, Ranked]:
    groups: dict[tuple[int, bool], list[int]] = defaultdict(list)
    lists: dict[int, Ranked] = {}
    for place, question in enumerate(queries):
        if question.boosted or question.purchases is not None:
            lists[place] = _deeper_of(catalogue, question, users[np.array([place])])(question.depth, None)
        else:
            # Masks of filters are shared, so the same filter is the same object.
            key = 0 if question.allowed is None else id(question.allowed)
            groups[key, question.depth + len(question.hidden) > USUAL].append(place)
    for places in groups.values():
        members = [queries[place] for place in places]
        theirs = users[np.array(places)]
        hidden = _hidden(members, theirs.histories)
        depth = min(max(question.depth for question in members), len(catalogue))
        found = catalogue.chain.search(theirs, depth, allowed=members[0].allowed, hidden=hidden if hidden.nnz else None)
        for place, question, rows, scores in zip(places, members, found.rows, shortest(found.scores), strict=True):
            lists[place] = _found(rows[: question.depth], scores[: question.depth])
    return lists


def _hidden(queries: list[ResolvedQuery], histories: csr_array) -> csr_array:
    """What each may not get, one row a question; often that is what its history holds."""
    if all(question.hides_history_only for question in queries):
        return histories
    return stack([question.hidden for question in queries], None, histories.shape[1])


def _unaided(catalogue: Catalogue, question: ResolvedQuery, user: Users) -> Steps[Int64Array | None]:
    """Rows of the list that it would be if popularity did not count beside the model; None where it does not."""
    if not user.weighted.size:
        return None

    def deeper(depth: int, among: BoolArray | None) -> Ranked:
        asked = question if among is None else question.among(among)
        only = question.query.repeat == "only"
        unaided = repeats.scores(catalogue, question.purchases, user, unaided=True, only=only)
        return best_items(catalogue, asked, unaided, depth)

    (rows, _), _ = yield from selected(catalogue, question, deeper(question.depth, None), deeper, [])
    return rows


def best_items(catalogue: Catalogue, question: ResolvedQuery, scores: Float32Array, depth: int) -> Ranked:
    """Of all scores of one user, shape (1, n_items), which are written to."""
    question.boost(scores[0])
    hidden = stack([question.hidden], None, len(catalogue))
    found = top_k(scores, min(depth, len(catalogue)), allowed=question.allowed, excluded=hidden)
    return _found(found.rows[0], shortest(found.scores)[0])


def _found(rows: Int64Array, scores: Float64Array) -> Ranked:
    if len(rows) and rows[-1] >= 0:
        return rows, scores
    return rows[rows >= 0], scores[rows >= 0]


def _answer(
    catalogue: Catalogue, question: ResolvedQuery, best: Ranked, tier: str, scorer: str, user: Users | None
) -> Steps[Answer]:
    """The list in words; `user` where more may be asked of what is known of it."""
    query, notices = question.query, list(question.notices)
    if query.repeat == "only":
        notices += [] if len(question.history.liked) else [NOTHING_TO_REPEAT]
    elif tier not in BY_HISTORY and len(question.history.liked):
        notices += [] if question.goes_by_purchases else [HISTORY_NOT_USED]
    elif tier == POPULAR:
        notices.append(NO_HISTORY)
    deeper = _deeper_of(catalogue, question, user)
    (rows, scores), has_more = yield from selected(catalogue, question, best, deeper, notices)
    placed, explored, chances = _guests(catalogue, question, user, (rows, scores))
    n_guests = len(placed) + len(explored)
    if n_guests:
        has_more = has_more or len(rows) > query.k - n_guests
        rows, scores = shortened(question, (rows, scores), query.k - n_guests)
    shown = query.after.shown if query.after else ()
    items = ranked(catalogue, rows, scores, first=len(shown) + 1)
    reasons, bought = tuple[str, ...](), repeats.are_bought(question.purchases, rows)
    if user is not None and query.explain:
        reasons = explanations.reasons(tier, rows, (yield from _unaided(catalogue, question, user)), bought)
        items = yield from _explained(catalogue, question, user, rows, items, reasons, notices)
    found = Answer(
        catalogue.version,
        tier,
        scorer,
        items,
        (*notices, *shortfall(len(items) + n_guests, query.k)),
        tuple(sources(catalogue.chain, [tier] * len(rows), rows, bought)),
        tuple(sorted((*shown, *rows.tolist()))),
        has_more,
        reasons,
        tuple(question.fields.values(rows)) if question.fields else (),
        chances=chances,
        items_as_of=question.items_as_of,
    )
    if len(placed) or placed.n_left:
        found = exploration.mixed(catalogue, found, query, placed, CONTENT, explanations.BY_HISTORY)
    if len(explored) or explored.n_left:
        found = exploration.mixed(catalogue, found, query, explored, exploration.EXPLORE, exploration.BY_EXPLORATION)
    return found


def _plain_answer(catalogue: Catalogue, question: ResolvedQuery, best: Ranked, tier: str, scorer: str) -> Answer:
    """What `_answer` makes of a list to which nothing is added, nor said of it."""
    rows, scores = best
    notices = tuple(shortfall(len(rows), question.query.k))
    items = ranked(catalogue, rows, scores)
    return Answer(
        catalogue.version,
        tier,
        scorer,
        items,
        notices,
        tuple(catalogue.chain.sources((tier,) * len(rows), rows)),
        tuple(sorted(rows.tolist())),
        question.n_left(len(catalogue)) > len(rows),
        chances=certain(item.item_id for item in items) if question.query.tells_chances else None,
        items_as_of=question.items_as_of,
    )


def _guests(
    catalogue: Catalogue, question: ResolvedQuery, user: Users | None, best: Ranked
) -> tuple[exploration.Guests, exploration.Guests, Chances | None]:
    """Newcomers that come into the list: those that their content places, and those that places are kept for.

    Beside them, how likely items are to be in the list, where that is asked for and known.
    """
    if user is None or question.arrivals is None:
        sure = certain(catalogue.ids(best[0])) if question.query.tells_chances else None
        return exploration.NOBODY, exploration.NOBODY, sure
    (rows, scores), (described, others) = best, question.arrivals.split()
    placed, explored, k = exploration.NOBODY, exploration.NOBODY, question.query.k
    if user.queries is not None and bool(user.encoded[0]) and len(described.eligible):
        vectors = np.stack([described.vectors[place] for place in described.eligible.tolist()])
        theirs = repeats.scores_of_newcomers(catalogue, question.purchases, user, vectors)
        placed = exploration.by_score(described, k, theirs, scores)
    n_found = min(k, len(scores) + len(placed))
    if question.query.explore:
        explored = exploration.drawn(others, question.query, n_found)
    chances = _chances(catalogue, question, rows, placed, others)
    return placed.before(min(n_found, k - len(explored))), explored, chances


def _chances(
    catalogue: Catalogue, question: ResolvedQuery, rows: Int64Array, placed: exploration.Guests, others: Arrivals
) -> Chances | None:
    """How likely items are to be in a list that some newcomers are drawn into; None where quotas choose who stays."""
    query = question.query
    if not query.tells_chances or question.members:
        return None
    ids = exploration.merged(catalogue.ids(rows), placed)[: query.k]
    if not query.explore:
        return certain(ids)
    n_eligible = len(others.eligible)
    guests = exploration.numbers_drawn(query, n_eligible, len(ids))
    return of_list(ids, query.k, guests, exploration.Eligible(others), n_eligible)


def _deeper_of(catalogue: Catalogue, question: ResolvedQuery, user: Users | None) -> Deeper:
    """More of the best items of a user, of some only where flags say which; scored once, however often it is asked."""
    known: list[Float32Array] = []

    def deeper(depth: int, among: BoolArray | None) -> Ranked:
        assert user is not None
        if not known:
            only = question.query.repeat == "only"
            known.append(repeats.scores(catalogue, question.purchases, user, only=only))
        asked = question if among is None else question.among(among)
        return best_items(catalogue, asked, known[0].copy(), depth)

    return deeper


def _explained(
    catalogue: Catalogue, question: ResolvedQuery, user: Users, rows: Int64Array, items: tuple[RankedItem, ...],
    reasons: tuple[str, ...], notices: list[Notice],
) -> Steps[tuple[RankedItem, ...]]:  # fmt: skip
    (tier,) = user.tiers
    if not len(rows) or (tier not in BY_HISTORY and question.purchases is None):
        return tuple(item._replace(because=()) for item in items)
    history = question.history.liked
    left_out = history[-explanations.affordable(len(history)) :]
    if len(left_out) < len(history):
        message = f"Explained by the last {len(left_out)} of the {len(history)} items in the history."
        notices.append(Notice("explained_in_part", message))
    names, chain = catalogue.ids(left_out), catalogue.chain
    effects = yield from explanations.effects(chain, user, left_out, rows, question.purchases)
    if user.weighted.size and question.purchases is None:
        effects /= np.float32(chain.bundle.tiers.policy.temperature)
    # No item of the history is credited with what popularity has put there.
    explained: list[RankedItem] = []
    for item, effect, reason in zip(items, effects.T, reasons, strict=True):
        places = explanations.strongest(effect) if reason != explanations.BY_POPULARITY else ()
        causes = tuple(Cause(names[place], float(str(effect[place]))) for place in places)
        explained.append(item._replace(because=causes))
        if len(explained) % NAMED_AT_ONCE == 0:
            yield NAMED * NAMED_AT_ONCE
    return tuple(explained)
