"""Files of users and results: reads measured planes and volumes, writes results. Formats are recognised by content."""

from dsfunet.files import check_writable
from dsfunet.io.open_volumes import open_volume
from dsfunet.io.read_options import ReadOptions
from dsfunet.io.read_planes import read_plane
from dsfunet.io.results import read_result, write_result
from dsfunet.io.user_axes import UserAxes
from dsfunet.io.volume import Volume
from dsfunet.planes.measured import MeasuredPlane, PlaneGrid
from dsfunet.planes.names import PlaneName, parse_plane, parse_plane_name
from dsfunet.planes.result import Result

__all__ = [
    "MeasuredPlane",
    "PlaneGrid",
    "PlaneName",
    "ReadOptions",
    "Result",
    "UserAxes",
    "Volume",
    "check_writable",
    "open_volume",
    "parse_plane",
    "parse_plane_name",
    "read_plane",
    "read_result",
    "write_result",
]
