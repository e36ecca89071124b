// What scrolls sideways can be reached by the keyboard.
addEventListener("load", () => {
  for (const place of document.querySelectorAll(".cell_output, article p")) {
    if (place.scrollWidth <= place.clientWidth || !place.querySelector(":scope > img")) continue;
    place.classList.add("scrolls");
    place.tabIndex = 0;
    place.setAttribute("role", "region");
    place.setAttribute("aria-label", "figure, scrolls sideways");
  }
});
