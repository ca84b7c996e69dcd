"""Linear models and support vector machines of ai.onnx.ml."""

from __future__ import annotations

import math

from edgeflow.backends.wasm.more.ml_scores import (
    DOMAIN, class_count, dot, highest_of, logistic, make_labels, make_scores, rows_of, transformed, two_scores,
)
from edgeflow.backends.wasm.more.values import Call, Datum, Interpret
from edgeflow.ir.attributes import int_of, text_of


def _linear(c: Call) -> list[list[float]]:
    """For each row, its products with the rows of coefficients, plus the intercepts."""
    rows = rows_of(c)
    weights = c.attr_numbers('coefficients')
    offsets = c.attr_numbers('intercepts')
    width = len(rows[0]) if len(rows) > 0 else 1
    if width == 0 or len(weights) % width != 0 or (len(offsets) > 0 and len(offsets) * width != len(weights)):
        raise c.fail(f'{width} coefficients for each score', f'{len(weights)} coefficients, {len(offsets)} intercepts')
    count = len(weights) // width
    return [[dot(weights, k * width, row) + (offsets[k] if len(offsets) > 0 else 0.0) for k in range(count)] for row in rows]


def _regress(c: Call) -> list[Datum | None]:
    kind = text_of(c.node, 'post_transform', 'NONE')
    return [make_scores(c, [transformed(c, row, kind) for row in _linear(c)])]


def _classify(c: Call) -> list[Datum | None]:
    kind = text_of(c.node, 'post_transform', 'NONE')
    classes = class_count(c, 'classlabels_ints')
    scores: list[list[float]] = []
    chosen: list[int] = []
    for row in _linear(c):
        pair = [-row[0], row[0]] if len(row) == 1 and classes == 2 else row
        final = transformed(c, pair, kind)
        scores.append(final)
        chosen.append(highest_of(final))
    if classes < 2 and len(scores) > 0 and len(scores[0]) == 1:
        limit = 0 if kind == 'NONE' else 0.5
        names = c.attr_ints('classlabels_ints')
        given = names[0] if len(names) > 0 else 1
        return [c.t.make('int64', [len(scores)], [given if row[0] >= limit else 0 for row in scores]), make_scores(c, scores)]
    return [make_labels(c, 'classlabels_ints', chosen), make_scores(c, scores)]


def _kernel(c: Call, kind: str, row: list[float], vectors: list[float], start: int) -> float:
    """How alike a row and a support vector are. kernel_params: gamma, coef0, degree."""
    given = c.attr_numbers('kernel_params')
    gamma = given[0] if len(given) > 0 else 0.0
    if kind == 'RBF':
        total = 0.0
        for i in range(len(row)):
            difference = row[i] - vectors[start + i]
            total += difference * difference
        return math.exp(-gamma * total)
    product = dot(vectors, start, row)
    if kind == 'LINEAR':
        return product
    product = product * gamma + (given[1] if len(given) > 1 else 0.0)
    if kind == 'POLY':
        degree = given[2] if len(given) > 2 else 0
        if degree % 1 != 0 or degree < 0:
            raise c.invalid('a whole degree', f'{degree}')
        return product ** int(degree)
    if kind == 'SIGMOID':
        return math.tanh(product)
    raise c.invalid('kernel_type LINEAR, POLY, RBF or SIGMOID', kind)


def _kernels(c: Call, row: list[float], count: int) -> list[float]:
    vectors = c.attr_numbers('support_vectors')
    if len(vectors) != count * len(row):
        raise c.fail(f'{count} support vectors of {len(row)} numbers', f'{len(vectors)} numbers')
    kind = text_of(c.node, 'kernel_type', 'LINEAR')
    return [_kernel(c, kind, row, vectors, i * len(row)) for i in range(count)]


def _svm_regress(c: Call) -> list[Datum | None]:
    count = int_of(c.node, 'n_supports')
    weights = c.attr_numbers('coefficients')
    rho = c.attr_numbers('rho')
    one = int_of(c.node, 'one_class') == 1
    kind = text_of(c.node, 'post_transform', 'NONE')
    scores: list[list[float]] = []
    for row in rows_of(c):
        if len(rho) == 0 or len(weights) != (count if count > 0 else len(row)):
            raise c.fail(f'rho, and {count if count > 0 else len(row)} coefficients', f'{len(weights)}')
        score = rho[0] + (dot(weights, 0, _kernels(c, row, count)) if count > 0 else dot(weights, 0, row))
        scores.append(transformed(c, [(1.0 if score > 0 else -1.0) if one else score], kind))
    return [make_scores(c, scores)]


def _svm_classify(c: Call) -> list[Datum | None]:
    """One against one, as libsvm (Chang and Lin 2011): every pair of classes has a score and gives a vote."""
    sizes = c.attr_ints('vectors_per_class')
    weights = c.attr_numbers('coefficients')
    rho = c.attr_numbers('rho')
    count = sum(sizes)
    classes = max(class_count(c, 'classlabels_ints'), 1)
    shares = count > 0 and len(c.attr_numbers('prob_a')) > 0
    kind = text_of(c.node, 'post_transform', 'NONE')
    scores: list[list[float]] = []
    chosen: list[int] = []
    for row in rows_of(c):
        made: list[float] = []
        votes: list[float] = [0] * classes
        if count == 0:
            if len(weights) != classes * len(row) or len(rho) < 1:
                raise c.fail(f'rho, and {len(row)} coefficients for each of {classes} classes', f'{len(weights)}')
            made = [dot(weights, k * len(row), row) + rho[0] for k in range(classes)]
            votes = made
        else:
            if len(sizes) != classes or len(weights) != count * (classes - 1) or len(rho) < classes * (classes - 1) // 2:
                raise c.fail(f'vectors, coefficients and rho for {classes} classes', f'{sizes}, {len(weights)}, {len(rho)}')
            made = _pairs(c, _kernels(c, row, count), sizes, votes)
        if shares:
            made = _shares(c, made, classes)
        chosen.append(highest_of(votes))
        if len(made) == 1:
            made = two_scores(c, made[0], False, kind) if classes == 2 else transformed(c, made, kind)
        else:
            made = transformed(c, made, kind)
        scores.append(made)
    return [make_labels(c, 'classlabels_ints', chosen), make_scores(c, scores)]


def _pairs(c: Call, kernels: list[float], sizes: list[int], votes: list[float]) -> list[float]:
    weights = c.attr_numbers('coefficients')
    rho = c.attr_numbers('rho')
    count = len(kernels)
    starts: list[int] = []
    at = 0
    for size in sizes:
        starts.append(at)
        at = at + size
    made: list[float] = []
    for i in range(len(sizes)):
        for j in range(i + 1, len(sizes)):
            mine = dot(weights, (j - 1) * count + starts[i], kernels[starts[i]:starts[i] + sizes[i]])
            other = dot(weights, i * count + starts[j], kernels[starts[j]:starts[j] + sizes[j]])
            score = rho[len(made)] + mine + other
            made.append(score)
            winner = i if score > 0 else j
            votes[winner] = votes[winner] + 1
    return made


def _shares(c: Call, pairs: list[float], classes: int) -> list[float]:
    """The probabilities of the classes from those of the pairs (Wu, Lin and Weng 2004, algorithm 2)."""
    a = c.attr_numbers('prob_a')
    b = c.attr_numbers('prob_b')
    if min(len(a), len(b)) < len(pairs):
        raise c.invalid(f'{len(pairs)} numbers as prob_a and prob_b', f'{len(a)} and {len(b)}')
    pair: list[list[float]] = [[0.0] * classes for _ in range(classes)]
    index = 0
    for i in range(classes):
        for j in range(i + 1, classes):
            share = min(max(1 - logistic(pairs[index] * a[index] + b[index]), 1.0e-7), 1 - 1.0e-7)
            pair[i][j] = share
            pair[j][i] = 1 - share
            index = index + 1
    q: list[list[float]] = [[0.0] * classes for _ in range(classes)]
    for i in range(classes):
        for j in range(classes):
            if i != j:
                q[i][i] = q[i][i] + pair[j][i] * pair[j][i]
                q[i][j] = -pair[j][i] * pair[i][j]
    p: list[float] = [1 / classes] * classes
    for _ in range(max(100, classes)):
        qp = [dot(row, 0, p) for row in q]
        pqp = dot(p, 0, qp)
        if max([abs(x - pqp) for x in qp]) < 0.005 / classes:
            break
        for i in range(classes):
            step = (pqp - qp[i]) / q[i][i]
            p[i] = p[i] + step
            pqp = (pqp + step * (step * q[i][i] + 2 * qp[i])) / ((1 + step) * (1 + step))
            for j in range(classes):
                qp[j] = (qp[j] + step * q[i][j]) / (1 + step)
                p[j] = p[j] / (1 + step)
    return p


LINEAR_RULES: dict[str, Interpret] = {
    DOMAIN + 'LinearRegressor': _regress, DOMAIN + 'LinearClassifier': _classify,
    DOMAIN + 'SVMRegressor': _svm_regress, DOMAIN + 'SVMClassifier': _svm_classify,
}
