"""Ranking: a batch of queries answered together: one encode, and a search for all that may get the same items.

All who may get the same items (any, or those of one filter) are searched for at once. Candidates make a search of their
own over these few rows. Boosts change the order, so with them the scores of all items are computed.
"""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from scipy.sparse import csr_array

from recsys_vae.protocols import Int64Array
from recsys_vae.recommender import CONTENT, HISTORY, POPULAR, POSTERIOR, SEGMENT, Users
from recsys_vae.top_k import top_k
from service.ranking import explanations
from service.ranking.mmr import diversify
from service.ranking.query_resolution import Question, resolve_all, stack
from service.ranking.results import (
    POPULARITY_SCORER,
    SEGMENT_SCORER,
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

USUAL = 256
"""Items that a search looks at for one query, k and what is hidden; the few queries that need more are searched for
apart, so that they do not make the others slower."""
BY_HISTORY = (POSTERIOR, HISTORY, CONTENT)
"""Tiers whose lists the items of the history can explain."""
SCORERS = {POPULAR: POPULARITY_SCORER, SEGMENT: SEGMENT_SCORER}
"""Of the tiers that the model has no part in."""
NO_HISTORY = Notice("no_history", "No history to go by: these are the items that most users have touched.")
HISTORY_NOT_USED = Notice(
    "history_not_used",
    "The history only keeps its items out of the list: where it is so short, others were better served without it.",
)
NO_VECTORS = Notice("diversity_not_used", "The model in service has no item vectors to compare: the order is by score.")

Ranked = tuple[Int64Array, Float64Array]
"""Rows and scores of one list, best first; the scores as they are written, `shortest`."""


def answer_all(catalogue: Catalogue, queries: Sequence[Query]) -> list[Answer | Exception]:
    """An answer or an error for each query: one that cannot be answered does not sink the others."""
    resolved = resolve_all(catalogue, queries)
    answered = iter(_attempt(catalogue, [one for one in resolved if isinstance(one, Question)]))
    return [next(answered) if isinstance(one, Question) else one for one in resolved]


def answer(catalogue: Catalogue, query: Query) -> Answer:
    """The answer to one query; raises what keeps it from being answered."""
    (found,) = answer_all(catalogue, [query])
    if isinstance(found, Exception):
        raise found
    return found


def _attempt(catalogue: Catalogue, questions: list[Question]) -> Sequence[Answer | Exception]:
    if not questions:
        return []
    try:
        return _answers(catalogue, questions)
    except Exception as error:
        if len(questions) == 1:
            return [error]
        return [outcome for question in questions for outcome in _attempt(catalogue, [question])]


def _answers(catalogue: Catalogue, questions: list[Question]) -> list[Answer]:
    histories = stack([q.seen for q in questions], [q.weights for q in questions], len(catalogue))
    users = catalogue.ladder.encode(histories, _metadata(catalogue, questions))
    lists = _search(catalogue, questions, users)
    tiers, scorers = users.tiers, catalogue.ladder.scorers(users)
    return [
        _answer(catalogue, question, lists[place], tiers[place], SCORERS.get(tiers[place], scorers[place]))
        for place, question in enumerate(questions)
    ]


def _metadata(catalogue: Catalogue, questions: Sequence[Question]) -> csr_array | None:
    """What else is known of the users, as the bundle reads it; None where nobody says anything, or nothing is read."""
    schema = catalogue.ladder.bundle.tiers.schema
    if schema is None or not any(question.query.metadata for question in questions):
        return None
    return schema.encode([question.query.metadata for question in questions])


def _search(catalogue: Catalogue, questions: list[Question], users: Users) -> dict[int, Ranked]:
    groups: dict[tuple[int, bool], list[int]] = defaultdict(list)
    lists: dict[int, Ranked] = {}
    for place, question in enumerate(questions):
        if question.boosted:
            lists[place] = _boosted(catalogue, question, users[np.array([place])])
        else:
            # Masks of filters are shared, so the same filter is the same object.
            key = 0 if question.allowed is None else id(question.allowed)
            groups[key, question.depth + len(question.hidden) > USUAL].append(place)
    for places in groups.values():
        members = [questions[place] for place in places]
        theirs = users[np.array(places)]
        hidden = _hidden(members, theirs.histories)
        depth = min(max(question.depth for question in members), len(catalogue))
        found = catalogue.ladder.search(
            theirs, depth, allowed=members[0].allowed, hidden=hidden if hidden.nnz else None
        )
        for place, question, rows, scores in zip(places, members, found.rows, shortest(found.scores), strict=True):
            lists[place] = _found(rows[: question.depth], scores[: question.depth])
    return lists


def _hidden(questions: list[Question], histories: csr_array) -> csr_array:
    """What each may not get, one row a question; often that is what its history holds."""
    if all(question.hides_history_only for question in questions):
        return histories
    return stack([question.hidden for question in questions], None, histories.shape[1])


def _boosted(catalogue: Catalogue, question: Question, user: Users) -> Ranked:
    scores = catalogue.ladder.scores(user)
    question.boost(scores[0])
    hidden = stack([question.hidden], None, len(catalogue))
    found = top_k(scores, question.depth, allowed=question.allowed, excluded=hidden)
    return _found(found.rows[0], shortest(found.scores)[0])


def _found(rows: Int64Array, scores: Float64Array) -> Ranked:
    if len(rows) and rows[-1] >= 0:
        return rows, scores
    return rows[rows >= 0], scores[rows >= 0]


def _answer(catalogue: Catalogue, question: Question, best: Ranked, tier: str, scorer: str) -> Answer:
    query, notices = question.query, list(question.notices)
    if tier not in BY_HISTORY and len(question.history):
        notices.append(HISTORY_NOT_USED)
    elif tier == POPULAR:
        notices.append(NO_HISTORY)
    rows, scores = _diverse(catalogue, query, best, notices) if query.diversity else best
    shown = query.after.shown if query.after else ()
    items = ranked(catalogue, rows, scores, first=len(shown) + 1)
    if query.explain:
        items = _explained(catalogue, question, rows, items, tier, notices)
    return Answer(
        catalogue.version,
        tier,
        scorer,
        items,
        (*notices, *shortfall(len(items), query.k)),
        tuple(catalogue.ladder.sources([tier] * len(rows), rows)),
        tuple(sorted((*shown, *rows.tolist()))),
        question.n_left(len(catalogue)) > len(items),
    )


def _diverse(catalogue: Catalogue, query: Query, best: Ranked, notices: list[Notice]) -> Ranked:
    rows, scores = best
    if not catalogue.ladder.has_directions:
        notices.append(NO_VECTORS)
        return rows[: query.k], scores[: query.k]
    shown = np.array(query.after.shown if query.after else (), dtype=np.int64)
    directions = catalogue.ladder.directions
    order = diversify(scores.astype(np.float32), directions(rows), directions(shown), query.k, query.diversity)
    return rows[order], scores[order]


def _explained(
    catalogue: Catalogue, question: Question, rows: Int64Array, items: tuple[RankedItem, ...], tier: str,
    notices: list[Notice],
) -> tuple[RankedItem, ...]:  # fmt: skip
    if tier not in BY_HISTORY or not len(rows):
        return tuple(item._replace(because=()) for item in items)
    left_out = question.history[-explanations.affordable(len(question.history)) :]
    if len(left_out) < len(question.history):
        message = f"Explained by the last {len(left_out)} of the {len(question.history)} items in the history."
        notices.append(Notice("explained_in_part", message))
    history, names = stack([question.seen], [question.weights], len(catalogue)), catalogue.ids(left_out)
    metadata = _metadata(catalogue, [question])
    effects = explanations.effects(catalogue.ladder, history, left_out, rows, tier=tier, metadata=metadata)
    causes = (
        tuple(Cause(names[place], float(str(effect[place]))) for place in explanations.strongest(effect))
        for effect in effects.T
    )
    return tuple(item._replace(because=cause) for item, cause in zip(items, causes, strict=True))
