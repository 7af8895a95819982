"""`recsys retrain`: the weekly job."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from recsys_vae.errors import ConfigError
from recsys_vae.termination import Terminated

INTERRUPTED = 130
"""Exit status that Typer makes of Ctrl-C."""
MISUSED = 2
"""Exit status that Typer makes of arguments that a verb does not take."""
SET_BY_THE_JOB = {
    "ingest": ("--to", "--append", "--overwrite", "--dry-run"),
    "check": ("--json", "--accept", "--write-limits"),
    "train": ("--to", "--register-as", "--split", "--resume", "--overwrite"),
    "learn-ranker": ("--to", "--register-as", "--trees-of", "--dry-run"),
    "promote": ("--version", "--only-compare", "--as", "--on", "--json", "--dry-run", "--force"),
    "publish": ("--to", "--register-as", "--resume", "--overwrite"),
}
"""Options of each verb that decide what a step works on and leaves behind."""


def mount(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(retrain)


def retrain(
    context: typer.Context,
    config: Annotated[Path, typer.Option("--config", help="TOML file of the job.", show_default=False)],
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and touch nothing.")] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", help="Print nothing where all is well, so that cron sends mail only otherwise.")
    ] = False,
) -> None:
    """From the newest events to the model in service: collect, ingest, check, train, compare, publish, promote.

    A run that was cut off goes on where it stopped. Exit status: 0 done, or nothing new; 1 failed; 3 refused by the
    gate; 4 stopped by the checks of the data; 75 another run is under way.
    """
    from pipelines.retraining import exit_status
    from pipelines.retraining.config import as_arguments, read_config
    from pipelines.retraining.delivery_steps import limits_of
    from pipelines.retraining.job import plan
    from pipelines.retraining.job import retrain as run_job

    settings = read_config(config.expanduser())
    verbs = _Verbs(context)
    for verb in ("ingest", "check", "train", "promote", "publish", "recommend"):
        verbs.check(verb, as_arguments(getattr(settings, verb) or {}), config)
    if isinstance(settings.ranker, dict):
        verbs.check("learn-ranker", as_arguments(settings.ranker), config, table="ranker")
    for verb, of_store in (("clean", False), ("clean-events", True)):
        verbs.check(verb, as_arguments(limits_of(settings.clean or {}, of_store=of_store)), config)
    if dry_run:
        plan(settings, verbs, print)
        return
    lines: list[str] = []
    status = run_job(settings, verbs, lines.append if quiet else _print)
    if quiet and status != exit_status.DONE:
        print("\n".join(lines))
    raise typer.Exit(status)


def _print(line: str) -> None:
    # Not sys.stdout of the moment: while a step runs, that is its log.
    print(line, file=sys.__stdout__, flush=True)


class _Verbs:
    """The verbs of the command line, carried out within this process."""

    def __init__(self, context: typer.Context) -> None:
        self._root = context.find_root()
        self._group: Any = self._root.command

    def __call__(self, arguments: Sequence[str]) -> int:
        """Carry one out; its exit status."""
        try:
            self._group.main(list(arguments), prog_name="recsys")
        except Terminated:
            raise
        except SystemExit as end:
            if end.code == INTERRUPTED:
                raise KeyboardInterrupt from end
            if end.code == MISUSED:
                raise ConfigError(f"`recsys {arguments[0]}` does not take these options; the log says which.") from end
            return end.code if isinstance(end.code, int) else 0
        return 0

    def check(self, verb: str, options: Sequence[str], file: Path, table: str = "") -> None:
        """Raise ConfigError where a verb does not take these options or values, or the job itself sets one of them."""
        command = self._group.get_command(self._root, verb)
        known = {option for parameter in command.params for option in parameter.opts}
        for option in options:
            name = option[2:].replace("-", "_")
            if option.startswith("--") and option not in known:
                raise ConfigError(
                    f"{file}: [{table or verb}] {name} is no option of `recsys {verb}`; its --help lists them."
                )
            if option in SET_BY_THE_JOB.get(verb, ()):
                raise ConfigError(f"{file}: [{table or verb}] {name} is set by the job itself; leave it out.")
        _check_values(command, table or verb, options, file)


def _check_values(command: Any, verb: str, options: Sequence[str], file: Path) -> None:
    """Raise ConfigError where a value is of another type than its option takes."""
    context = typer.Context(command)
    values, left, parameters = command.make_parser(context).parse_args(list(options))
    loose = [values[one.name] for one in parameters if one.param_type_name == "argument" and values.get(one.name)]
    if loose or left:
        raise ConfigError(
            f"{file}: [{verb}] {_plain(loose or left)} belongs to an option that is set by true and takes no value."
        )
    try:
        for parameter in parameters:
            if not set(parameter.opts).isdisjoint(options):
                parameter.process_value(context, values[parameter.name])
    except typer.BadParameter as error:
        raise ConfigError(f"{file}: [{verb}] {error.format_message()}") from error


def _plain(value: Any) -> str:
    return _plain(value[0]) if isinstance(value, list | tuple) else str(value)
