"""What screen readers need of a page."""

# The visible controls and pictures that have no name in words.
UNNAMED = """() => {
  const name = (e) => e.getAttribute('aria-label') || e.labels?.[0]?.innerText || e.innerText || e.title;
  const all = [...document.querySelectorAll('button, input, textarea, select, canvas:not([aria-hidden])')];
  return all.filter((e) => e.checkVisibility() && !/\\p{L}/u.test(name(e))).map((e) => e.outerHTML);
}"""
