"""What the scripts here share: questions to Prometheus, and the panels of the dashboard."""
import json
import pathlib
import urllib.parse
import urllib.request

DASHBOARD = pathlib.Path(__file__).parents[2] / "charts/redis-replication-operator/files/dashboard.json"


class Prometheus:
    """A Prometheus at an address."""

    def __init__(self, url):
        self.url = url

    def get(self, path, **parameters):
        """The `data` of an answer; Prometheus' own words if it refuses."""
        address = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(address, timeout=10) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise ValueError(json.load(error).get("error", str(error))) from error

    def query(self, expression):
        """The series that the expression has now."""
        return self.get("query", query=expression)["result"]

    def query_range(self, expression, start, end, step):
        """The series that it had."""
        return self.get("query_range", query=expression, start=start, end=end, step=step)["result"]


def panels(namespace, name, window="1m"):
    """Each panel of the dashboard with its expressions, as Grafana would ask them."""
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        targets = []
        for target in panel.get("targets", []):
            expression = target["expr"]
            for variable, value in {"$namespace": namespace, "$name": name, "$__rate_interval": window}.items():
                expression = expression.replace(variable, value)
            assert "$" not in expression, f"{panel['title']}: a variable that is not known in {expression}"
            targets.append((expression, target["legendFormat"]))
        yield panel, targets
