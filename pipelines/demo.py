"""The main job from end to end on MovieLens 100K: what `make demo` runs.

It calls the command line as a person would, prints each command before its output, and asks the running service over
HTTP. Everything it makes lies under RECSYS_HOME.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import polars as pl
from rich.table import Table

from pipelines.console import output_console
from pipelines.dataset.directory import DatasetDir
from recsys_vae.bundles.bundle import ITEMS
from recsys_vae.data.columns import ITEM, USER
from recsys_vae.errors import RecsysError, UnavailableError
from recsys_vae.frames import scan_table
from recsys_vae.home import home

DATASET = "ml-100k"
MODEL = "movies"
BUDGET = "1m"
INVENTED = ("Star Wars (1977)", "Empire Strikes Back, The (1980)", "Raiders of the Lost Ark (1981)")
PAGE = "/ui/users"
STARTUP_SECONDS = 120.0
REFUSED = 3
"""Exit status of `recsys promote` where the champion stays: of an earlier run of the demo, say."""

console = output_console(highlight=False)


def main() -> None:
    """Run the demo."""
    started = time.monotonic()
    bundles = home() / "bundles"
    chosen, shipped, lists = bundles / "chosen", bundles / "shipped", home() / "recommendations.parquet"
    report = home() / "report.html"
    compared = home() / "datasets" / DATASET / "comparisons" / "strong"
    settings = compared / "best.toml"
    for step in (
        ("ingest", "movielens-100k", "--min-rating", "4", "--min-user", "5", "--to", DATASET, "--overwrite"),
        ("split", DATASET, "--protocol", "strong"),
        ("compare", DATASET, "--split", "strong", "--budget", BUDGET, "--resume"),
        ("train", DATASET, "--split", "strong", "--settings", str(settings), "--to", str(chosen),
         "--register-as", MODEL, "--resume", "--overwrite"),
        ("evaluate", str(chosen), DATASET, "--split", "strong", "--baselines", "popularity,ease",
         "--metrics", "recall@20,recall@50,ndcg@100,coverage@20", "--report", str(report)),
        ("publish", str(chosen), DATASET, "--to", str(shipped), "--register-as", MODEL,
         "--resume", "--overwrite"),
        ("promote", MODEL),
        ("recommend", str(shipped), DATASET, "--k", "20", "--to", str(lists)),
        ("load-history", DATASET),
    ):  # fmt: skip
        recsys(*step)
    warm = _warm_user()
    with served(shipped) as url:
        show_lists(url, shipped, warm)
        show_page(url, shipped, warm)
    minutes = (time.monotonic() - started) / 60
    console.rule(f"done in {minutes:.1f} minutes")
    tell_what_next(shipped, report, compared / "page.html", lists, warm)


def recsys(*arguments: str) -> None:
    """Print a command, then run it."""
    console.print(f"\n[bold]$ recsys {' '.join(_short(argument) for argument in arguments)}[/bold]", soft_wrap=True)
    ended = subprocess.run([sys.executable, "-m", "pipelines.cli", *arguments], check=False).returncode
    if ended and (arguments[0], ended) != ("promote", REFUSED):
        raise RecsysError(f"`recsys {arguments[0]}` failed, see above. What was made before it is kept.")


@contextmanager
def served(bundle: Path) -> Iterator[str]:
    """Start the service on a free port, yield its address, stop it."""
    console.print(f"\n[bold]$ recsys serve {_short(str(bundle))} --port 0[/bold]", soft_wrap=True)
    command = [sys.executable, "-m", "pipelines.cli", "serve", str(bundle), "--port", "0"]
    environment = os.environ | {"PYTHONUNBUFFERED": "1", "RECSYS_LOG_LEVEL": "warning"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            yield _address(process)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=30)


def show_lists(url: str, bundle: Path, warm: str) -> None:
    """Ask for a warm user, an invented history and an unknown user, and print titles."""
    titles = _titles(bundle)
    ids = {title: item for item, title in titles.items()}
    history = [ids[title] for title in INVENTED]
    questions: Sequence[tuple[str, dict[str, Any], str]] = (
        (f"Known user {warm}", {"user_id": warm}, _liked(warm, titles)),
        ("Invented history", {"history": history}, ", ".join(INVENTED)),
        ("Unknown user", {"user_id": "nobody-yet"}, "nothing"),
    )
    for name, question, liked in questions:
        answer = ask(url, question | {"k": 10})
        console.print(f"\n[bold]{name}[/bold] — liked {liked}", soft_wrap=True)
        console.print(f"  tier {answer['tier']}, scored by {answer['scorer']}, model {answer['model_version']}")
        for warning in answer["warnings"]:
            console.print(f"  [yellow]{warning['message']}[/yellow]", soft_wrap=True)
        ranked = Table("", "title", "score", box=None, padding=(0, 2))
        for item in answer["items"]:
            ranked.add_row(str(item["rank"]), titles[item["item_id"]], f"{item['score']:.2f}")
        console.print(ranked)


def show_page(url: str, bundle: Path, user: str) -> None:
    """The page of a user in words: history beside list, and what pushes each item up."""
    titles = _titles(bundle)
    answer = ask(url, {"user_id": user, "k": 5, "explain": True})
    console.print(f"\n[bold]{PAGE}/{user}[/bold], what a browser shows there:", soft_wrap=True)
    page = Table("List", "because of", "History", padding=(0, 2))
    for item, liked in zip(answer["items"], reversed(_history(user)[-5:]), strict=False):
        causes = ", ".join(titles[cause["item_id"]] for cause in item["because"][:2])
        page.add_row(f"{item['rank']}  {titles[item['item_id']]}", causes, titles[liked])
    console.print(page)


def ask(url: str, question: dict[str, Any]) -> dict[str, Any]:
    """POST /v1/recommendations."""
    body = json.dumps(question).encode()
    request = Request(f"{url}/v1/recommendations", body, {"Content-Type": "application/json"})
    with urlopen(request, timeout=30) as response:
        return dict(json.load(response))


def tell_what_next(bundle: Path, report: Path, comparison: Path, lists: Path, user: str) -> None:
    """Say what was made and what to try."""
    console.print(
        f"""
Everything is under {home()}:
  {_short(str(bundle))}   the bundle that was served
  {_short(str(comparison))}   why this model: the comparison, as a page
  {_short(str(report))}   the evaluation, as a page
  {_short(str(lists))}   20 items for every user
  mlflow.db   every run, and the registered versions of '{MODEL}'

Try next:
  export RECSYS_HOME={home()}
  .venv/bin/recsys serve --model models:/{MODEL}@champion     then open http://127.0.0.1:8000{PAGE}/{user}, or /docs
  .venv/bin/recsys explain-data {DATASET} --user 1
  .venv/bin/mlflow ui --backend-store-uri sqlite:///{home() / "mlflow.db"}
  docs/bring-your-own-log.md     the same with your own data""",
        soft_wrap=True,
    )


def _address(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    deadline = time.monotonic() + STARTUP_SECONDS
    while time.monotonic() < deadline:
        line = process.stdout.readline()
        if not line:
            break
        console.print(line.rstrip(), soft_wrap=True)
        if found := re.search(r"Serving .* at (http://\S+)", line):
            return found[1]
    raise UnavailableError("The service did not start, see above.")


def _warm_user() -> str:
    """The user of median activity: neither a beginner nor a collector."""
    counts = DatasetDir.open(DATASET).interactions().group_by(USER).len().sort("len", USER).collect()
    return str(counts[USER][len(counts) // 2])


def _titles(bundle: Path) -> dict[str, str]:
    return dict(scan_table(bundle / ITEMS).select(ITEM, "title").collect().iter_rows())


def _history(user: str) -> list[str]:
    return DatasetDir.open(DATASET).interactions().filter(pl.col(USER) == user).collect()[ITEM].to_list()


def _liked(user: str, titles: dict[str, str]) -> str:
    liked = _history(user)
    shown = ", ".join(titles[item] for item in liked[-5:])
    return f"{shown} and {len(liked) - 5} more" if len(liked) > 5 else shown


def _short(text: str) -> str:
    """A path relative to where the demo was started."""
    return os.path.relpath(text) if text.startswith(str(Path.cwd())) else text


if __name__ == "__main__":
    try:
        main()
    except RecsysError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
