"""The Python twin of custom-data-analyzer.js: the same action, the same figures."""

from hardpoint_sdk import action, capability


@capability(
    id="data-analyzer-python",
    name="Advanced Data Analyzer (Python)",
    version="1.0.0",
    description="Analyze a CSV dataset: statistics and trends",
    config={"maxDatasetSize": {"type": "number", "default": 10000, "description": "Maximum rows to process"}},
    permissions=["data.read", "compute.moderate"],
)
class DataAnalyzer:
    @action(
        id="analyzeDataset",
        description="Analyze a CSV dataset",
        inputs=[
            {"name": "dataset", "type": "string", "required": True, "description": "CSV text"},
            {"name": "analysisType", "type": "string", "required": True, "description": "statistical or trends"},
        ],
        effect="read",
    )
    async def analyze_dataset(self, input):
        data = self.utils.parse_csv(input["dataset"])
        match input["analysisType"]:
            case "statistical":
                return self.statistical_analysis(data)
            case "trends":
                return self.utils.linear_trend(data)
            case other:
                raise ValueError(f"Unknown analysis type: {other}")

    def statistical_analysis(self, data):
        return {
            "mean": self.utils.mean(data),
            "median": self.utils.median(data),
            "stdDev": self.utils.standard_deviation(data),  # of a sample; population=True for a whole population
            "outliers": self.utils.find_outliers(data),
        }
