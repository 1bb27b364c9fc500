"""What a stored picture or clip is. A value; does not know files, stores or frames."""

from typing import Literal

from pydantic import Field

from engine.contract.values import Sha256, SizePx, Value


class MediaInfo(Value):
    """What a stored file is. ``num_frames`` is 1 for a picture; ``fps`` is 0 there. ``size_px`` is as it is shown."""

    sha256: Sha256
    kind: Literal["image", "clip"]
    size_px: SizePx
    num_frames: int = Field(ge=1)
    fps: float = Field(ge=0)
    num_bytes: int = Field(ge=1)
    content_type: str
