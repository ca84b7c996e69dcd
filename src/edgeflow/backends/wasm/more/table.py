"""What interprets the operators that no plan can have, by Node.key()."""

from __future__ import annotations

from edgeflow.backends.wasm.more.chance import CHANCE_RULES
from edgeflow.backends.wasm.more.flow import FLOW_RULES
from edgeflow.backends.wasm.more.images import IMAGE_RULES
from edgeflow.backends.wasm.more.ml_features import FEATURE_RULES
from edgeflow.backends.wasm.more.ml_linear import LINEAR_RULES
from edgeflow.backends.wasm.more.ml_trees import TREE_RULES
from edgeflow.backends.wasm.more.selection import SELECTION_RULES
from edgeflow.backends.wasm.more.sequences import SEQUENCE_RULES
from edgeflow.backends.wasm.more.strings import STRING_RULES
from edgeflow.backends.wasm.more.training import TRAINING_RULES
from edgeflow.backends.wasm.more.values import Interpret, InterpretFlow


def _merged(tables: list[dict[str, Interpret]]) -> dict[str, Interpret]:
    merged: dict[str, Interpret] = {}
    for table in tables:
        for key in table:
            merged[key] = table[key]
    return merged


FLOW: list[dict[str, InterpretFlow]] = [FLOW_RULES, IMAGE_RULES]

HOST: dict[str, Interpret] = _merged([SEQUENCE_RULES, SELECTION_RULES, STRING_RULES, CHANCE_RULES, TRAINING_RULES, FEATURE_RULES, LINEAR_RULES, TREE_RULES])
