// What scrolls sideways can be reached by the keyboard, also after a window was made narrower.
function mark() {
  for (const image of document.querySelectorAll(".cell_output > img, article p > img")) {
    const place = image.parentElement;
    const scrolls = place.scrollWidth > place.clientWidth;
    const facts = { tabindex: 0, role: "region", "aria-label": "figure, scrolls sideways" };
    place.classList.toggle("scrolls", scrolls);
    for (const [name, value] of Object.entries(facts)) {
      if (scrolls) place.setAttribute(name, value);
      else place.removeAttribute(name);
    }
  }
}
addEventListener("load", mark);
addEventListener("resize", mark);
