"""The templates of a report, files beside this module."""

from typing import Any

from sb3_reinforce.common.extras import needs
from sb3_reinforce.compare.text import escape, join, number

with needs("compare", "The report"):
    import jinja2


def render_template(name: str, **values: Any) -> str:
    """
    :param name: Of a file in the folder ``templates``: "report.md.j2", "page.html.j2" or "page.css".
    :param values: What stands in it as names.
    :return: Its text. In HTML, values are escaped unless they are marked as safe (``markupsafe.Markup``); in Markdown a value
        from outside needs the filter ``md``.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("sb3_reinforce.compare", "templates"),
        autoescape=".html" in name,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(md=escape, names=join, number=number)
    return environment.get_template(name).render(values)
