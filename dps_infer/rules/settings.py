"""The keys of ``dps.toml``, from which its JSON Schema is made (`schema`)."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from dps_infer.compare.regions.gate import Gate
from dps_infer.model.manifest import NonNegative


class Settings(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, rename="kebab"):
    """How images are compared and judged; the keys have the names of the options of ``folder``."""

    context: (
        Annotated[str, Meta(description="A context file (.onnx), relative to dps.toml.")]
        | UnsetType
    ) = UNSET
    ranking: (
        Annotated[
            str,
            Meta(description="Kinds of change, the least disruptive first: color,translate,blur."),
        ]
        | UnsetType
    ) = UNSET
    importance: (
        Annotated[
            str | dict[str, NonNegative],
            Meta(description="In place of a ranking: color=0.1,blur=5, or a table of numbers."),
        ]
        | UnsetType
    ) = UNSET
    context_name: (
        Annotated[
            str,
            Meta(
                description="In place of both: a saved context; the folder contexts beside "
                "dps.toml is searched first."
            ),
        ]
        | UnsetType
    ) = UNSET
    threshold: (
        Annotated[
            NonNegative | str,
            Meta(
                description="The largest distance that passes: a number, a threshold file (.json) "
                "relative to dps.toml, or auto for the one beside the context file."
            ),
        ]
        | UnsetType
    ) = UNSET
    gate: (
        Annotated[
            Gate,
            Meta(description="The threshold applies to the whole image, or to its worst region."),
        ]
        | UnsetType
    ) = UNSET
    ignore: (
        Annotated[
            list[str],
            Meta(description="Boxes X,Y,W,H to leave out, in pixels or percent: 0,90%,100%,10%."),
        ]
        | UnsetType
    ) = UNSET
    mask: (
        Annotated[
            str,
            Meta(
                description="An image, relative to dps.toml, of the size of the references: black "
                "is left out."
            ),
        ]
        | UnsetType
    ) = UNSET
    resize: (
        Annotated[
            bool,
            Meta(description="Resize candidates to the size of their references."),
        ]
        | UnsetType
    ) = UNSET


class FilesTable(Settings):
    """Settings of some files, ``[[files]]``."""

    glob: Annotated[
        Annotated[str, Meta(min_length=1)] | Annotated[list[str], Meta(min_length=1)],
        Meta(
            description="The files: charts/*.png matches the end of a path, /charts/** begins at "
            "the folder of dps.toml."
        ),
    ]


class RulesStruct(Settings):
    """A whole ``dps.toml``: settings of all files, and tables of some."""

    files: Annotated[
        list[FilesTable],
        Meta(description="Settings of some files; of several that match, the last one wins."),
    ] = []


def schema() -> dict[str, Any]:
    """Return the JSON Schema of ``dps.toml``, for editors and checks."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "dps.toml",
        **msgspec.json.schema(RulesStruct),
    }
