"""Rendered resources and thumbnails against a real archive."""

from __future__ import annotations

import numpy as np

from tests.web.conftest import Site
from tests.web.images import cells, deep, kept, moving, opened, ramp, state


def test_try(site: Site) -> None:
    path = kept(site, ramp(900))
    answer = site.get(f"{path}/rendered", "image/png")
    assert answer.status_code == 200, answer.text
    assert cells(answer.content).shape == (16, 32)
    answer = site.get(f"{path}/rendered", "image/jpeg")
    assert opened(answer.content).size == (32, 16), answer.text
    image = deep(901)
    made = state(
        901, image, PresentationLUTShape="INVERSE", WindowCenter=["100"], WindowWidth=["50"]
    )
    path = kept(site, made, image)
    answer = site.get(f"{path}/rendered", "image/png")
    print(answer.status_code, answer.headers, answer.content[:300])
    path = kept(site, moving(902))
    answer = site.get(f"{path}/rendered", "image/gif")
    assert opened(answer.content).n_frames == 3
    for a in ("image/jpeg", "*/*", 'multipart/related; type="image/jpeg"'):
        answer = site.get(f"{path}/rendered", a)
        print(a, answer.status_code, answer.headers["content-type"])
    import time

    p = kept(site, deep(903))
    for q in ("", "", "?window=10,20,linear"):
        b = time.perf_counter()
        r = site.get(f"{p}/rendered{q}", "image/jpeg")
        print(r.status_code, (time.perf_counter() - b) * 1e3)
    assert 0
