"""The pictures of `roofline-afd plot`, as Altair charts."""

from __future__ import annotations

from roofline_afd.view.charts import breakdown_chart as breakdown
from roofline_afd.view.charts import dead_zone_chart as dead_zone
from roofline_afd.view.charts import roofline_chart as roofline

__all__ = ["breakdown", "dead_zone", "roofline"]
