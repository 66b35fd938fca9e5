"""`metaprior compare`: several priors and the standing controls in one table."""

from collections.abc import Sequence
from pathlib import Path

from metaprior.cli.arguments import Parser
from metaprior.cli.choices import NET, TASKS
from metaprior.cli.display import console, progress_bar, table
from metaprior.compare import compare
from metaprior.errors import MetapriorError
from metaprior.files import write_text
from metaprior.nets import net_for
from metaprior.report import columns, rows

__all__ = ["run"]


def run(words: Sequence[str]) -> None:
    """Compare priors, show how it goes, and end with the table."""
    parser = Parser("compare", "Acquire several priors and the controls for the same time.", (TASKS, NET), ("tasks",))
    parser.options.add_argument("--priors", required=True, help="names with commas between them, as in maml,protonet")
    parser.options.add_function_arguments(
        compare, skip={"source", "names", "shots", "build_net", "report"}, fail_untyped=False
    )
    parser.options.add_argument(
        "--shots",
        type=str,
        default="auto",
        help="shots for a curve of scores, as in 1,5,10; none for no curve; auto for those of the tasks and five times",
    )
    parsed = parser.parse(words)
    source = parser.build(parsed, "tasks")
    names = [name.strip() for name in parsed.priors.split(",") if name.strip()]
    options = {
        key: parsed[key] for key in vars(parsed) if key not in {"config", "threads", "priors", "shots", *parser.choices}
    }
    options["shots"] = None if parsed.shots == "auto" else _counts(parsed.shots.removeprefix("none"))
    if "net" in parser.names:
        name, given = parser.names["net"], parser.given(parsed, "net")
        options["build_net"] = lambda cls: net_for(
            name, source.spec, cls.headless, parsed.seed, cls.batch_norm, **given
        )
    if parsed.out is not None:
        write_text(Path(parsed.out) / "config.yaml", parser.resolved(parsed))
    with progress_bar(source.spec.kind) as update:
        comparison = compare(source, names, report=update, **options)
    table(columns, rows(comparison))
    console.print(comparison.verdict())
    settings = comparison.settings
    console.print(f"{settings['episodes']} test tasks, the same for all (hash {settings['test_hash']}).")
    if parsed.out is not None:
        console.print(f"{parsed.out}: report.html, curves.png, table.md, result.json")


def _counts(text: str) -> list[int]:
    words = [word.strip() for word in text.split(",") if word.strip()]
    if bad := [word for word in words if not word.isdigit() or int(word) == 0]:
        raise MetapriorError(f"--shots: expected positive numbers with commas between them, got '{bad[0]}'")
    return [int(word) for word in words]
