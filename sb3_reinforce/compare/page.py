"""The report as a page: HTML that needs no other file."""

import re

from sb3_reinforce.common.extras import needs
from sb3_reinforce.compare.template import render_template

with needs("compare", "The report"):
    import markdown
    from markupsafe import Markup


def to_html(text: str, sources: dict[str, str]) -> str:
    """
    :param text: A report in Markdown.
    :param sources: For each image in it, what to put in the place of its path.
    :return: A page that needs no other file and runs no script.
    """
    body = markdown.markdown(text, extensions=["tables", "sane_lists", "md_in_html"], output_format="html")
    body = re.sub('src="([^"]*)"', lambda image: f'src="{sources.get(image[1], image[1])}"', body)
    body = re.sub("<td.*?</td>", lambda cell: cell[0].replace("_", "_<wbr>"), body)  # where a long name may be broken
    # A wide table scrolls by itself, so that the page does not
    body = body.replace("<table>", '<div class="table" tabindex="0"><table>').replace("</table>", "</table></div>")
    title = text.partition("\n")[0].lstrip("# ")
    style = render_template("page.css")
    return render_template("page.html.j2", title=title, style=Markup(style), body=Markup(body))
