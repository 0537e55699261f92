"""report.md and its tables, made only from the plain values of report.json."""

from collections.abc import Iterable
from typing import Any

from dsfunet.planes.preprocessing import COMPONENTS
from evaluate.metrics.errors import COMMON_MARK, PAPER_MARKS
from evaluate.metrics.measures import MEASURES, PRODUCT_MEASURES
from evaluate.reports.markdown import padded_table

TITLES = {"form_factor": "I_FF", "short_range_order": "I_SRO", "product": "both"}
NETWORK = "network"
_PAPER_ROWS = {"fid": "FID", "kid": "KID", "mse": "mean MSE, [-1, 1]", "unit": "mean MSE, [0, 1]"}
_HEADLINES = {"mean": "the mean", "median": "the median", "percentile_90": "the 90th percentile"}
_SCORE_HEADER = ("mean", "median", "90th percentile", "under the paper's mark", f"under {COMMON_MARK:g}")


def report_markdown(plain: dict[str, Any]) -> str:
    """Return the whole of report.md."""
    store = plain["provenance"]["stores"]["validation"]
    some = (
        ""
        if store["planes"] == store["planes_of_the_store"]
        else f", the first of {store['planes_of_the_store']}"
    )
    mode = plain["provenance"]["weights"]["mode"]
    lines = [
        f"# {store['planes']} planes of {store['name']}{some}",
        "",
        *(line for warning in plain["warnings"] for line in (f"> **Warning.** {warning}", "")),
        f"Evaluation mode: {mode}. On average {100 * plain['missing_share']:.0f} % of the pixels of an input plane were"
        " missing. Errors cover whole planes, including the missing pixels, and are given in spread space,"
        " s = 2 sqrt(x) - 1 in [-1, 1], unless stated otherwise.",
        "",
        "## The paper's Table 1",
        "",
        _about_distances(plain),
        "",
        *paper_table(plain),
        "",
        *score_table(plain),
        "",
        "![distribution of the errors](distribution.png)",
        "",
        "Limits that the paper states for its own scores:",
        "",
        *_limits_table(plain),
        "",
        "## Comparison with lattice mode and with methods without a network",
        "",
        'Methods with "known" in the column "lattice" use the cell and the axes of the plane. The networks alone do'
        " not.",
        "",
        *methods_table(plain),
        "",
        *_better_methods(plain),
        "",
        "## All measures",
        "",
        *_measures_table(plain),
        "",
        "The measures are defined in `evaluate/metrics/measures.py`.",
        "",
    ]
    for name, classes in plain["by"].items():
        lines += [f"## By {name}", "", *class_table(name, classes), ""]
    lines += [*_curves(plain), *_uncertainty(plain)]
    lines += ["## Best, median and worst planes", "", "![gallery](gallery.png)", "", "## Provenance", ""]
    lines += [f"- {name}: {value}" for name, value in _flat(plain["provenance"])]
    return "\n".join(lines) + "\n"


def _about_distances(plain: dict[str, Any]) -> str:
    space = plain["provenance"]["feature_space"]["name"]
    planes = plain["table"]["validation"]["form_factor"]["score"].get("distance_planes")
    if planes is None:
        return f"FID and KID (feature space **{space}**) are left out because there are too few planes."
    return (
        f"FID and KID are computed in the feature space **{space}** over the first {planes} planes of each set. They"
        " can only be compared with values in the same space over the same number of planes. The standard deviation of"
        " KID is that of its subsets, which share planes."
    )


def paper_table(plain: dict[str, Any]) -> list[str]:
    """Return the paper's Table 1: one row per metric and component, one column per set of planes, then noise.

    The titles of FID and KID name their feature space.
    """
    validation = plain["table"]["validation"]
    columns = {name: plain["table"][name] for name in ("training", "validation") if name in plain["table"]}
    planes = {name: store["planes"] for name, store in plain["provenance"]["stores"].items()}
    space = plain["provenance"]["feature_space"]["name"]
    rows = []
    for metric, title in _PAPER_ROWS.items():
        for component in COMPONENTS:
            sets = [table[component]["score"] for table in columns.values()]
            sets += [validation[component][name] for name in ("noise_against_truth", "noise_against_noise")]
            cells = [_paper_cell(each, metric) for each in sets]
            where = f" in {space}" if metric in ("fid", "kid") else ""
            rows.append([f"{title}, {TITLES[component]}{where}", *cells])
    header = [
        "",
        *(f"{name} ({planes[name]} planes)" for name in columns),
        "noise vs truth",
        "noise vs noise",
    ]
    return padded_table(header, rows)


def _paper_cell(scores: dict[str, float], metric: str) -> str:
    if metric == "unit":
        return f"{scores['mse'] / 4:.4g}"
    if metric not in scores:  # a single plane has no distribution
        return "-"
    spread = f" \N{PLUS-MINUS SIGN} {scores['kid_std']:.2g}" if metric == "kid" else ""
    return f"{scores[metric]:.4g}{spread}"


def score_table(plain: dict[str, Any]) -> list[str]:
    """Return the distribution of the MSE over planes, one row per component, with the noise baseline."""
    rows = []
    for component in COMPONENTS:
        scores = plain["predictors"][NETWORK]["measures"][component]["mse"]
        noise = plain["table"]["validation"][component]
        ratio = noise["noise_against_truth"]["mse"] / scores["mean"] if scores["mean"] > 0 else None
        rows.append(
            [
                TITLES[component],
                *_score_cells(scores, component),
                f"{noise['noise_against_truth']['mse']:.3g}",
                "-" if ratio is None else f"{ratio:.1f}",
            ]
        )
    return padded_table(["", *_SCORE_HEADER, "noise vs truth", "noise / mean"], rows)


def _score_cells(scores: dict[str, Any], component: str) -> list[str]:
    return [
        f"{scores['mean']:.4f}",
        f"{scores['median']:.4f}",
        f"{scores['percentile_90']:.4f}",
        f"{100 * scores['share_under_paper_mark']:.1f} % ({PAPER_MARKS[component]:g})",
        f"{100 * scores['share_under_common_mark']:.1f} %",
    ]


def _limits_table(plain: dict[str, Any]) -> list[str]:
    rows = [
        [each["name"], f"{each['ours']:.3g}", f"under {each['paper']:g}", "yes" if each["kept"] else "**no**"]
        for each in plain["limits"]
    ]
    return padded_table(["", "ours", "the paper's", "kept"], rows)


def methods_table(plain: dict[str, Any]) -> list[str]:
    """Return the errors of all predictors, one row per component and predictor."""
    rows = [
        [
            TITLES[component],
            each["title"],
            "known" if each["knows_the_lattice"] else "",
            *_score_cells(each["measures"][component]["mse"], component),
        ]
        for component in COMPONENTS
        for each in plain["predictors"].values()
    ]
    return padded_table(["", "method", "lattice", *_SCORE_HEADER], rows)


def _better_methods(plain: dict[str, Any]) -> list[str]:
    """Return one sentence per method and component with smaller errors than the networks alone."""
    own = plain["predictors"][NETWORK]["measures"]
    lines = []
    for component in COMPONENTS:
        for name, each in plain["predictors"].items():
            theirs, ours = each["measures"][component]["mse"], own[component]["mse"]
            better = [title for key, title in _HEADLINES.items() if theirs[key] < ours[key]]
            # The mean plane is made from the truths that it is scored on, so it is not a method.
            if name not in (NETWORK, "mean_plane") and better:
                lines.append(
                    f"- **{TITLES[component]}: {each['title']} beats the networks alone** in {' and '.join(better)}"
                    f" (mean {theirs['mean']:.4f} against {ours['mean']:.4f})."
                )
    return lines or ["No method beats the networks alone in mean, median or 90th percentile."]


def _measures_table(plain: dict[str, Any]) -> list[str]:
    rows = []
    for part in (*COMPONENTS, "product"):
        for name, measure in {**MEASURES, **PRODUCT_MEASURES}.items():
            for each in plain["predictors"].values():
                found = each["measures"].get(part, {}).get(name)
                # Only predictors with all measures; the errors of the others are in the table above.
                if found is not None and "product" in each["measures"]:
                    rows.append(
                        [
                            TITLES[part],
                            (PRODUCT_MEASURES if part == "product" else MEASURES)[name].title,
                            each["title"],
                            *(
                                f"{found[key]:.4g}"
                                for key in ("mean", "percentile_10", "median", "percentile_90")
                            ),
                            "" if measure.smaller_is_better else "larger is better",
                        ]
                    )
    return padded_table(
        ["", "measure", "method", "mean", "10th percentile", "median", "90th percentile", ""], rows
    )


def class_table(name: str, classes: dict[str, Any]) -> list[str]:
    """Return the scores of classes of planes as a table; `name` is the breakdown, such as "lattice"."""
    rows = [
        [
            TITLES[component],
            label,
            str(scores[component]["planes"]),
            *_score_cells(scores[component], component),
        ]
        for component in COMPONENTS
        for label, scores in classes.items()
    ]
    return padded_table(["", name, "planes", *_SCORE_HEADER], rows)


def _curves(plain: dict[str, Any]) -> list[str]:
    lines = ["## Errors against missing pixels and noise", "", "![curves](curves.png)", ""]
    titles = {name: each["title"] for name, each in plain["predictors"].items()}
    if plain["noise_curve"]:
        names = list(plain["noise_curve"][0]["mse"])
        header = ["counts in the brightest pixel", "planes"]
        header += [f"{TITLES[component]}, {titles[name]}" for component in COMPONENTS for name in names]
        rows = [
            [
                "as stored" if point["counts"] is None else f"{point['counts']:g}",
                str(point["planes"]),
                *(f"{point['mse'][name][component]:.4f}" for component in COMPONENTS for name in names),
            ]
            for point in plain["noise_curve"]
        ]
        lines += [*padded_table(header, rows), ""]
    return lines


def _uncertainty(plain: dict[str, Any]) -> list[str]:
    found = plain["uncertainty"]
    if found is None:
        return []
    rows = [
        [
            TITLES[component],
            f"{found['mse_of_the_report_on_these'][component]:.4f}",
            f"{found['mse'][component]:.4f}",
            f"{100 * found['calibration'][component]['within_1']:.1f} %",
            f"{100 * found['calibration'][component]['within_2']:.1f} %",
            "-" if (factor := found["calibration"][component]["factor"]) is None else f"{factor:.2f}",
        ]
        for component in COMPONENTS
    ]
    header = ["", "MSE of the report", f"MSE, {found['mode']}", "within 1 deviation", "within 2", "factor"]
    return [
        "## Uncertainty",
        "",
        f"Mode {found['mode']} on {found['planes']} planes. The standard deviation between its passes is taken as the"
        " uncertainty of a pixel. For Gaussian errors and correct deviations, 68.3 % and 95.4 % of the pixels lie"
        " within one and two deviations. The factor is rms error over rms deviation: the deviations would have to be"
        " multiplied by it.",
        "",
        *padded_table(header, rows),
        "",
        "![calibration](calibration.png)",
        "",
    ]


def _flat(values: dict[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    for name, value in sorted(values.items()):
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}", value
