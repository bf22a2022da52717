"""How like its class a design is; see `janus_al.likeness`, where models keep it."""

from janus_al.likeness import LIKE as LIKE
from janus_al.likeness import Likeness as Likeness
