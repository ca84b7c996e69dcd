"""Every case of every model of images and of sound in tests/models, through the whole engine."""

from __future__ import annotations

import pytest

from tests.engine.cases import Case, check_case, tolerance_of, vision_audio_cases

CASES = vision_audio_cases()


def test_there_are_cases() -> None:
    assert len(CASES) >= 50


@pytest.mark.parametrize('case', CASES, ids=str)
async def test_outputs_are_those_of_onnxruntime(case: Case) -> None:
    await check_case(case, tolerance_of(case))
