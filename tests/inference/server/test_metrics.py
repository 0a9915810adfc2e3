"""Numbers in Prometheus' text format."""

import re

from serjax.inference.server.metrics import TYPES, Metrics


def test_numbers_are_written_as_prometheus_reads_them():
    metrics = Metrics()
    metrics.count("serjax_requests_total", route="/", status="200")
    metrics.count("serjax_requests_total", route="/", status="200")
    metrics.observe("serjax_batch_windows", 3)
    metrics.observe("serjax_batch_windows", 8)
    metrics.gauges["serjax_ready"] = lambda: True
    lines = metrics.text().splitlines()
    assert 'serjax_requests_total{route="/",status="200"} 2' in lines
    assert "serjax_ready 1" in lines
    assert "serjax_windows_total 0" in lines
    own = [line for line in lines if line.startswith("serjax_batch_windows")]
    assert own == [
        'serjax_batch_windows_bucket{le="1"} 0',
        'serjax_batch_windows_bucket{le="2"} 0',
        'serjax_batch_windows_bucket{le="4"} 1',
        'serjax_batch_windows_bucket{le="8"} 2',
        'serjax_batch_windows_bucket{le="+Inf"} 2',
        "serjax_batch_windows_sum 11",
        "serjax_batch_windows_count 2",
    ]
    assert metrics.value("serjax_requests_total", route="/", status="200") == 2
    pattern = r'# (HELP|TYPE) \w+ .+|\w+(\{(\w+="[^"]*",?)+\})? [-+.\de]+'
    assert all(re.fullmatch(pattern, line) for line in lines)
    assert [line.split()[2] for line in lines if line.startswith("# TYPE")] == list(TYPES)
