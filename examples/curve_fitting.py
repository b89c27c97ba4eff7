"""Lines through points, with numpy: a library is asked for by name, and offered by the operator or not at all."""

import numpy
from hardpoint_sdk import action, capability


@capability(
    id="curve-fitting",
    name="Curve Fitting",
    version="1.0.0",
    description="Fits polynomials to points, and solves systems of linear equations",
    libraries=["numpy"],
    examples=[
        {
            "action": "fit",
            "input": {"x": [0, 1, 2, 3], "y": [1, 3, 5, 7], "degree": 1},
            "expected_output": {"coefficients": [{"$range": [1.999, 2.001]}, {"$range": [0.999, 1.001]}]},
        },
    ],
    permissions=["compute.moderate"],
)
class CurveFitting:
    @action(
        description="The polynomial of a degree that is nearest to the points, and how well it fits (r2, at most 1)",
        inputs={
            "x": {"type": "array", "required": True, "items": {"type": "number"}},
            "y": {"type": "array", "required": True, "items": {"type": "number"}},
            "degree": {"type": "integer", "default": 1, "description": "1 for a line"},
        },
        outputs={
            "coefficients": {"type": "array", "description": "Highest power first"},
            "r2": {"type": "number"},
        },
    )
    async def fit(self, input):
        x, y = numpy.array(input["x"], float), numpy.array(input["y"], float)
        if len(x) != len(y) or len(x) <= input["degree"]:
            raise ValueError(f"{len(x)} x and {len(y)} y do not make a polynomial of degree {input['degree']}")
        coefficients = numpy.polyfit(x, y, input["degree"])
        rest = ((y - numpy.polyval(coefficients, x)) ** 2).sum()
        spread = ((y - y.mean()) ** 2).sum()
        return {"coefficients": coefficients.tolist(), "r2": float(1 - rest / spread) if spread else 1.0}

    @action(
        description="The unknowns of a system of linear equations",
        inputs={
            "matrix": {"type": "array", "required": True, "description": "One row of factors for each equation"},
            "right": {"type": "array", "required": True, "description": "What each equation is equal to"},
        },
        outputs={"unknowns": {"type": "array"}},
    )
    async def solve(self, input):
        return {"unknowns": numpy.linalg.solve(input["matrix"], input["right"]).tolist()}
