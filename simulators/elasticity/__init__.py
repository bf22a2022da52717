"""Linear elasticity of two-phase images and volumes: the second physics beside conduction."""

from simulators.elasticity.bounds import hashin_shtrikman, voigt_reuss
from simulators.elasticity.elastic import Elasticity

__all__ = ["Elasticity", "hashin_shtrikman", "voigt_reuss"]
