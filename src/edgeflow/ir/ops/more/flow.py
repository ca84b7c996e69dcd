"""Operators whose results have shapes that depend on data, or are no tensors: they are interpreted, never planned."""

from __future__ import annotations

from edgeflow.ir.ops.infer import InferContext, OpSpec, Type


def _interpreted(c: InferContext) -> list[Type]:
    raise c.unsupported('what it makes depends on data')


def host(least: int, most: int | None = None, since: int = 1) -> OpSpec:
    """An entry of an operator that no plan can have: the fewest and most inputs, the first opset."""
    return OpSpec(least, least if most is None else most, since, _interpreted)


FLOW_OPS: dict[str, OpSpec] = {
    'Loop': host(2, -1),
    'Scan': host(1, -1, 8),
    'SequenceMap': host(1, -1, 17),
    'ImageDecoder': host(1, 1, 20),
    'SequenceAt': host(2, 2, 11),
    'SequenceConstruct': host(1, -1, 11),
    'SequenceEmpty': host(0, 0, 11),
    'SequenceErase': host(1, 2, 11),
    'SequenceInsert': host(2, 3, 11),
    'SequenceLength': host(1, 1, 11),
    'SplitToSequence': host(1, 2, 11),
    'ConcatFromSequence': host(1, 1, 11),
    'Optional': host(0, 1, 15),
    'OptionalGetElement': host(1, 1, 15),
    'OptionalHasElement': host(0, 1, 15),
    'Unique': host(1, 1, 11),
    'NonMaxSuppression': host(2, 5, 10),
    'StringConcat': host(2, 2, 20),
    'StringSplit': host(1, 1, 20),
    'StringNormalizer': host(1, 1, 10),
    'RegexFullMatch': host(1, 1, 20),
    'TfIdfVectorizer': host(1, 1, 9),
    'com.microsoft:Tokenizer': host(1),
    'RandomNormal': host(0, 0),
    'RandomUniform': host(0, 0),
    'RandomNormalLike': host(1),
    'RandomUniformLike': host(1),
    'Bernoulli': host(1, 1, 15),
    'Multinomial': host(1, 1, 7),
    'ai.onnx.preview.training:Adagrad': host(5, -1),
    'ai.onnx.preview.training:Adam': host(6, -1),
    'ai.onnx.preview.training:Momentum': host(5, -1),
    'ai.onnx.ml:LabelEncoder': host(1),
    'ai.onnx.ml:CategoryMapper': host(1),
    'ai.onnx.ml:OneHotEncoder': host(1),
    'ai.onnx.ml:ArrayFeatureExtractor': host(2),
    'ai.onnx.ml:Scaler': host(1),
    'ai.onnx.ml:Binarizer': host(1),
    'ai.onnx.ml:Imputer': host(1),
    'ai.onnx.ml:Normalizer': host(1),
    'ai.onnx.ml:FeatureVectorizer': host(1, -1),
    'ai.onnx.ml:DictVectorizer': host(1),
    'ai.onnx.ml:CastMap': host(1),
    'ai.onnx.ml:ZipMap': host(1),
    'ai.onnx.ml:LinearRegressor': host(1),
    'ai.onnx.ml:LinearClassifier': host(1),
    'ai.onnx.ml:SVMRegressor': host(1),
    'ai.onnx.ml:SVMClassifier': host(1),
    'ai.onnx.ml:TreeEnsembleRegressor': host(1),
    'ai.onnx.ml:TreeEnsembleClassifier': host(1),
    'ai.onnx.ml:TreeEnsemble': host(1, 1, 5),
}
