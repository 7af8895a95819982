"""/ui/compare: lists as the API answers them, held against each other; sets of users that are kept, and erased."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from service.app import create_app
from service.errors import FieldError
from service.settings import Settings
from service.store.user_sets import MOST_USERS, UserSets
from service.ui.comparison import Pair, by_length, by_tier, summed
from tests.service.places import Place
from tests.service.tiny import USERS, fill, write_tiny_bundle
from tests.service.ui.logins import LogIn, token_of

PAIR = Pair("u", (("a", "b", "c", "d"), ("b", "a", "e", "c")), ("history", "history"), 3)


def test_what_two_lists_have_in_common_is_computed_by_hand() -> None:
    assert PAIR.overlap == 3 / 4
    assert PAIR.moves == {"b": 1, "a": -1, "c": -1}
    same = Pair("v", (("a",), ("a",)), ("popular", "history"), 0)
    nothing = Pair("w", ((), ()), ("popular", "popular"), 200)
    assert (same.overlap, nothing.overlap, nothing.is_same) == (1.0, 1.0, True)
    found = summed("all", [PAIR, same, nothing])
    assert (found.n, found.overlap, found.same_first, found.same) == (3, pytest.approx(2.75 / 3), 2 / 3, 2 / 3)
    assert found.move == 3 / 4
    assert summed("none", [nothing]).move is None
    assert [(one.name, one.n) for one in by_tier([PAIR, same, nothing])] == [
        ("history", 1), ("popular", 1), ("popular / history", 1)
    ]  # fmt: skip
    assert [one.name for one in by_length([nothing, PAIR, same])] == ["no stored event", "1 to 4", "100 and more"]


def test_sets_are_kept_replaced_and_left_by_whoever_is_erased(place: Place) -> None:
    store = place.open()
    sets = UserSets(store.database)
    sets.save("a", ["u2", "u1", "u2", "u3"])
    sets.save("b", ["u1"])
    assert sets.sizes() == {"a": 3, "b": 1}
    assert sets.users("a") == ["u2", "u1", "u3"]
    store.erase("u1")
    assert (sets.users("a"), sets.sizes()) == (["u2", "u3"], {"a": 2})
    sets.save("a", ["u9"])
    assert sets.users("a") == ["u9"]
    for wrong in ([], [str(number) for number in range(MOST_USERS + 1)]):
        with pytest.raises(FieldError, match="a set has 1 to 200 users"):
            sets.save("c", wrong)
    sets.drop("a")
    assert sets.users("a") == []
    store.close()


@pytest.fixture
def two(tmp_path: Path) -> Iterator[TestClient]:
    url = f"sqlite:///{tmp_path / 'events.db'}"
    fill(url)
    variants = tuple(f"{name}=1:{write_tiny_bundle(tmp_path / name, name)}" for name in ("ease", "popularity"))
    with TestClient(create_app(Settings(variant=variants, store=url, bundle_root=tmp_path))) as client:
        yield client


def send(client: TestClient, users: str, **more: str) -> str:
    token = token_of(client, "/ui/compare")
    return client.post("/ui/compare", data={"users": users, "form_token": token, "k": "4", **more}).text


def rows(text: str, user: str) -> list[list[str]]:
    """Both lists of a user, as they stand on the page."""
    table = re.search(rf'aria-label="Lists of {user}".*?</table>', text, re.DOTALL)[0]
    return [
        re.findall(r"<bdi>(.*?)</bdi>", row)
        for row in re.findall(r"<tr>\s*<th scope=\"row\".*?</tr>", table, re.DOTALL)
    ]


def test_lists_are_those_of_the_api_beside_each_other(two: TestClient) -> None:
    text = send(two, "u0\nu5\n\nu0\nnobody", a="ease", b="popularity")
    for user in ("u0", "u5", "nobody"):
        lists = [
            [item["item_id"] for item in two.post(
                "/v1/recommendations", json={"user_id": user, "k": 4}, headers={"X-Recsys-Variant": name}
            ).json()["items"]]
            for name in ("ease", "popularity")
        ]  # fmt: skip
        assert rows(text, user) == [list(pair) for pair in zip(*lists, strict=True)]
    assert "<dt>Users</dt><dd>3</dd>" in text
    assert "no stored event" in text
    shown = two.get("/v1/users/u0").json()["shown"]
    assert len(shown) == 2  # those that were asked of the API


def test_a_set_is_kept_compared_on_and_forgotten(two: TestClient) -> None:
    text = send(two, "\n".join(USERS), name="six", do="save")
    assert "<dt>Users</dt><dd>6</dd>" in text
    assert "Forget the set <bdi>six</bdi>" in text
    two.delete("/v1/users/u3")
    assert "<dt>Users</dt><dd>5</dd>" in two.get("/ui/compare?set=six").text
    assert "Forget the set" not in send(two, "", set="six", do="delete")
    assert "users: a set has 1 to 200 users" in send(two, "", name="none", do="save")
    assert "name: a set has a name" in send(two, "u0", name="", do="save")


def test_the_bundle_before_is_compared_with_the_one_in_service(
    client: TestClient, settings: Settings, tmp_path: Path
) -> None:
    assert "One bundle is in memory." in client.get("/ui/compare").text
    other = write_tiny_bundle(tmp_path / "other", "popularity")
    with TestClient(create_app(settings.model_copy(update={"bundle_root": tmp_path}))) as running:
        running.post("/v1/admin/reload", json={"source": other.name})
        assert "before: ease-" in running.get("/ui/compare").text
        assert "<dt>Users</dt><dd>2</dd>" in send(running, "u0\nu1")


def test_too_many_and_wrong_users_are_refused_and_all_is_text(two: TestClient) -> None:
    assert "201 users are too many" in send(two, "\n".join(map(str, range(201))))
    assert "one of these is no id" in send(two, "x" * 513)
    hostile = "<img src=x onerror=alert(1)>/\"'\u202e"
    text = send(two, hostile, name=hostile, do="save")
    assert "<img" not in text
    assert "&lt;img src=x" in text
    assert two.get("/ui/compare", params={"set": hostile, "k": "9" * 9, "a": hostile}).status_code == 200
    assert "no longer in memory" in send(two, "u0", a="gone")
    assert two.post("/ui/compare", data={"users": "u0"}).status_code == 403


def test_keys_without_the_scope_histories_see_no_set(log_in: LogIn, settings: Settings) -> None:
    assert "which this key lacks" in log_in("ui").get("/ui/compare").text
    client = log_in("ui", "recommend")
    token = token_of(client, "/ui")
    refused = client.post("/ui/compare", data={"do": "save", "name": "x", "users": "u0", "form_token": token})
    assert refused.status_code == 403
