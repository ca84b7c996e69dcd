"""Ensembles of decision trees (ai.onnx.ml), in the form of version 5 (TreeEnsemble) and in that before it."""

from __future__ import annotations

import math
from typing import cast

from edgeflow.backends.wasm.more.ml_scores import DOMAIN, class_count, highest_of, make_labels, make_scores, rows_of, transformed, two_scores
from edgeflow.backends.wasm.more.values import Call, Datum, Interpret
from edgeflow.host.platform import array_list, array_of
from edgeflow.ir.attributes import int_of, tensor_of, text_of
from edgeflow.ir.elements import elements

MODES = ['BRANCH_LEQ', 'BRANCH_LT', 'BRANCH_GTE', 'BRANCH_GT', 'BRANCH_EQ', 'BRANCH_NEQ', 'BRANCH_MEMBER', 'LEAF']
MEMBER = 6
LEAF = 7
AGGREGATES = ['AVERAGE', 'SUM', 'MIN', 'MAX']
TRANSFORMS = ['NONE', 'SOFTMAX', 'LOGISTIC', 'SOFTMAX_ZERO', 'PROBIT']


class Forest:
    """All trees, one number a node in each list: what it asks for, of which feature, where it leads. Leaves have weights for targets."""

    def __init__(self, roots: list[int], modes: list[int]) -> None:
        self.roots: list[int] = roots
        self.modes: list[int] = modes
        self.features: list[int] = []
        self.splits: list[float] = []
        self.yes: list[int] = []
        self.no: list[int] = []
        self.missing: list[bool] = []
        self.members: dict[int, list[float]] = {}
        self.targets: list[list[int]] = [[] for _ in modes]
        self.weights: list[list[float]] = [[] for _ in modes]

    def leaf(self, root: int, row: list[float]) -> int:
        """The leaf to which a tree leads a row."""
        at = root
        while self.modes[at] != LEAF:
            x = row[self.features[at]]
            holds = self.missing[at] if math.isnan(x) else self._holds(at, x)
            at = self.yes[at] if holds else self.no[at]
        return at

    def _holds(self, at: int, x: float) -> bool:
        mode = self.modes[at]
        split = self.splits[at]
        if mode == 0:
            return x <= split
        if mode == 1:
            return x < split
        if mode == 2:
            return x >= split
        if mode == 3:
            return x > split
        if mode == 4:
            return x == split
        if mode == 5:
            return x != split
        return x in self.members[at]


def _numbers(c: Call, name: str) -> list[float]:
    """The numbers of an attribute that is a list, or a tensor by its name or that with '_as_tensor'."""
    for key in [name, name + '_as_tensor']:
        if key in c.node.attributes and not isinstance(c.node.attributes[key], list):
            tensor = tensor_of(c.node, key)
            return elements(tensor) if tensor is not None else []
    return c.attr_numbers(name)


def _forest(c: Call, prefix: str) -> Forest:
    """As read once; later runs find it in the call's memo."""
    key = c.node.outputs[0]
    if key not in c.memo:
        made = _new_forest(c) if prefix == '' else _old_forest(c, prefix)
        _check(c, made)
        c.memo[key] = made
    return cast('Forest', c.memo[key])


def _old_forest(c: Call, prefix: str) -> Forest:
    trees = c.attr_ints('nodes_treeids')
    nodes = c.attr_ints('nodes_nodeids')
    names = c.attr_texts('nodes_modes')
    if len(nodes) != len(trees) or len(names) != len(trees):
        raise c.invalid('as many nodes_nodeids and nodes_modes as nodes_treeids', f'{len(nodes)}, {len(names)}, {len(trees)}')
    modes: list[int] = []
    places: dict[str, int] = {}
    firsts: dict[int, int] = {}
    for i in range(len(trees)):
        if names[i] not in MODES:
            raise c.invalid('known nodes_modes', names[i])
        modes.append(MODES.index(names[i]))
        places[f'{trees[i]} {nodes[i]}'] = i
        if trees[i] not in firsts:
            firsts[trees[i]] = i
    forest = Forest([firsts[tree] for tree in sorted(firsts.keys())], modes)
    forest.features = c.attr_ints('nodes_featureids')
    forest.splits = _numbers(c, 'nodes_values')
    yes = c.attr_ints('nodes_truenodeids')
    no = c.attr_ints('nodes_falsenodeids')
    tracks = c.attr_ints('nodes_missing_value_tracks_true')
    for i in range(min(len(modes), len(yes), len(no))):
        forest.yes.append(places.get(f'{trees[i]} {yes[i]}', -1))
        forest.no.append(places.get(f'{trees[i]} {no[i]}', -1))
        forest.missing.append(i < len(tracks) and tracks[i] != 0)
    targets = c.attr_ints(prefix + '_ids')
    owners = c.attr_ints(prefix + '_treeids')
    leaves = c.attr_ints(prefix + '_nodeids')
    weights = _numbers(c, prefix + '_weights')
    if min(len(owners), len(leaves), len(weights)) < len(targets):
        raise c.invalid(f'{len(targets)} owners and weights of targets', f'{len(owners)}, {len(leaves)}, {len(weights)}')
    for i in range(len(targets)):
        at = places.get(f'{owners[i]} {leaves[i]}', -1)
        if at < 0:
            raise c.invalid('weights of nodes that are there', f'tree {owners[i]}, node {leaves[i]}')
        forest.targets[at].append(targets[i])
        forest.weights[at].append(weights[i])
    return forest


def _new_forest(c: Call) -> Forest:
    modes: list[int] = []
    for x in _numbers(c, 'nodes_modes'):
        if x not in [0, 1, 2, 3, 4, 5, MEMBER]:
            raise c.invalid('nodes_modes from 0 to 6', f'{x}')
        modes.append(int(x))
    inner = len(modes)
    weights = _numbers(c, 'leaf_weights')
    targets = c.attr_ints('leaf_targetids')
    forest = Forest(c.attr_ints('tree_roots'), modes + [LEAF] * len(weights))
    forest.features = c.attr_ints('nodes_featureids')
    forest.splits = _numbers(c, 'nodes_splits')
    yes = c.attr_ints('nodes_truenodeids')
    no = c.attr_ints('nodes_falsenodeids')
    ends_yes = c.attr_ints('nodes_trueleafs')
    ends_no = c.attr_ints('nodes_falseleafs')
    tracks = c.attr_ints('nodes_missing_value_tracks_true')
    members = _numbers(c, 'membership_values')
    at = 0
    if min(len(yes), len(no), len(ends_yes), len(ends_no)) < inner or len(targets) != len(weights):
        raise c.invalid(f'{inner} entries for nodes and {len(weights)} for leaves', f'{len(yes)}, {len(no)}, {len(targets)}')
    for i in range(inner):
        forest.yes.append(yes[i] + (inner if ends_yes[i] != 0 else 0))
        forest.no.append(no[i] + (inner if ends_no[i] != 0 else 0))
        forest.missing.append(i < len(tracks) and tracks[i] != 0)
        if modes[i] == MEMBER:
            # The members of one node after those of another, each list ended by NaN.
            end = at
            while end < len(members) and not math.isnan(members[end]):
                end = end + 1
            forest.members[i] = members[at:end]
            at = end + 1
    for i in range(len(weights)):
        forest.targets[inner + i].append(targets[i])
        forest.weights[inner + i].append(weights[i])
    for i in range(len(forest.roots)):
        root = forest.roots[i]
        if 0 <= root < inner and ends_yes[root] != 0 and ends_no[root] != 0 and yes[root] == no[root]:
            # A tree that is a single leaf.
            forest.roots[i] = inner + yes[root]
    return forest


def _check(c: Call, forest: Forest) -> None:
    """Every way ends in a leaf: nodes are there, and no node is reached twice on a way."""
    count = len(forest.modes)
    state = [0] * count
    for root in forest.roots:
        waiting = [root]
        while len(waiting) > 0:
            at = waiting[-1]
            if at < 0 or at >= count or (forest.modes[at] != LEAF and at >= min(len(forest.features), len(forest.splits), len(forest.yes))):
                raise c.invalid('branches that lead to nodes', f'node {at} of {count}')
            if state[at] != 0 or forest.modes[at] == LEAF:
                state[at] = 2
                waiting.pop()
                continue
            state[at] = 1
            for other in [forest.yes[at], forest.no[at]]:
                if 0 <= other < count and state[other] == 1:
                    raise c.invalid('trees', f'a node {other} below itself')
                waiting.append(other)


def _sums(c: Call, forest: Forest, count: int, how: str) -> list[list[float]]:
    """For each row, what the leaves give to each of `count` targets."""
    rows = rows_of(c)
    width = c.value(0).shape[-1]
    for i in range(min(len(forest.features), len(forest.modes))):
        if forest.modes[i] != LEAF and (forest.features[i] < 0 or forest.features[i] >= width):
            raise c.fail(f'features below {width}', f'{forest.features[i]}')
    sums: list[float] = []
    c.room([len(rows), count])
    for row in rows:
        totals: list[float] = [0.0] * count
        seen: list[bool] = [False] * count
        for root in forest.roots:
            leaf = forest.leaf(root, row)
            for i in range(len(forest.targets[leaf])):
                target = forest.targets[leaf][i]
                weight = forest.weights[leaf][i]
                if target < 0 or target >= count:
                    raise c.invalid(f'targets below {count}', f'{target}')
                if how == 'MIN' and seen[target]:
                    weight = min(totals[target], weight)
                elif how == 'MAX' and seen[target]:
                    weight = max(totals[target], weight)
                elif how == 'SUM' or how == 'AVERAGE':
                    weight = totals[target] + weight
                totals[target] = weight
                seen[target] = True
        sums.extend([x / len(forest.roots) for x in totals] if how == 'AVERAGE' else totals)
    if c.value(0).dtype == 'float32':
        # Weights are rounded: what sklearn holds for equal must stay so.
        sums = array_list(array_of('float32', sums))
    return [sums[i:i + count] for i in range(0, len(sums), count)]


def _regress(c: Call) -> list[Datum | None]:
    forest = _forest(c, 'target')
    count = int_of(c.node, 'n_targets', 1)
    base = _numbers(c, 'base_values')
    kind = text_of(c.node, 'post_transform', 'NONE')
    rows = _sums(c, forest, count, text_of(c.node, 'aggregate_function', 'SUM'))
    if len(base) == count:
        rows = [[row[i] + base[i] for i in range(count)] for row in rows]
    return [make_scores(c, [transformed(c, row, kind) for row in rows])]


def _ensemble(c: Call) -> list[Datum | None]:
    how = AGGREGATES[min(max(int_of(c.node, 'aggregate_function', 1), 0), 3)]
    kind = TRANSFORMS[min(max(int_of(c.node, 'post_transform'), 0), 4)]
    numbers: list[float] = []
    count = int_of(c.node, 'n_targets', 1)
    rows = _sums(c, _forest(c, ''), count, how)
    for row in rows:
        numbers.extend(transformed(c, row, kind))
    return [c.t.make(c.value(0).dtype, [len(rows), count], numbers)]


def _classify(c: Call) -> list[Datum | None]:
    forest = _forest(c, 'class')
    classes = class_count(c, 'classlabels_int64s')
    base = _numbers(c, 'base_values')
    kind = text_of(c.node, 'post_transform', 'NONE')
    ids = c.attr_ints('class_ids')
    weights = _numbers(c, 'class_weights')
    one = classes == 2 and len(ids) > 0 and min(ids) == max(ids)
    positive = len(weights) > 0 and min(weights) >= 0
    scores: list[list[float]] = []
    chosen: list[int] = []
    for row in _sums(c, forest, max(classes, 1), 'SUM'):
        if one:
            score = row[ids[0]] + (base[-1] if len(base) > 0 else 0.0)
            scores.append(two_scores(c, score, positive, kind))
            chosen.append(1 if score > (0.5 if positive else 0) else 0)
        else:
            total = [row[i] + (base[i] if i < len(base) else 0.0) for i in range(len(row))]
            chosen.append(highest_of(total))
            scores.append(transformed(c, total, kind))
    return [make_labels(c, 'classlabels_int64s', chosen), make_scores(c, scores)]


TREE_RULES: dict[str, Interpret] = {
    DOMAIN + 'TreeEnsemble': _ensemble, DOMAIN + 'TreeEnsembleRegressor': _regress, DOMAIN + 'TreeEnsembleClassifier': _classify,
}
