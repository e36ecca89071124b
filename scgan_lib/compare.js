// Before/after comparison. One ES module, two hosts: a live notebook (anywidget calls `render`)
// and a static page. The element wraps ordinary markup, which stays readable without scripts:
//   <scgan-compare left="0" right="1" position="50" frame="0">
//     <section data-name="boat" data-caption="PSNR 24.1 dB">
//       <figure><img alt="gray" width="256" height="256"><figcaption>gray</figcaption></figure> ...
// Every section is a frame: a photo, a training step, a setting. A picture that a later frame
// leaves out is the first frame's, so shared pictures travel once.
const TAG = "scgan-compare";
const SHADOW = `<style>
  :host { display: inline-block; width: var(--width, 384px); max-width: 100%;
    font: 14px/1.4 system-ui, sans-serif; }
  .stage { position: relative; overflow: hidden; background: #777; cursor: ew-resize;
    touch-action: pan-y; user-select: none; -webkit-user-select: none; }
  .stage img { position: absolute; inset: 0; width: 100%; height: 100%; margin: 0; }
  .over { clip-path: inset(0 calc(100% - var(--position)) 0 0); }
  .bar { position: absolute; inset: 0 auto 0 var(--position); width: 2px; margin-left: -1px;
    background: #fff; box-shadow: 0 0 3px #000; }
  .bar::after { content: "\\2194"; position: absolute; top: 50%; left: 50%; width: 28px;
    transform: translate(-50%, -50%); border-radius: 50%; background: #fff; color: #222;
    font-size: 16px; line-height: 28px; text-align: center; box-shadow: 0 0 4px #000; }
  .tag { position: absolute; top: 6px; max-width: 45%; padding: 1px 7px; border-radius: 3px;
    background: #000c; color: #fff; }
  .tag.l { left: 6px } .tag.r { right: 6px }
  .wipe { position: absolute; inset: 0; width: 100%; height: 100%; margin: 0; opacity: 0;
    pointer-events: none; }
  .ring { position: absolute; inset: 0; pointer-events: none; }
  .wipe:focus-visible ~ .ring { box-shadow: inset 0 0 0 3px #fff, inset 0 0 0 6px #0b57d0; }
  .row { display: flex; flex-wrap: wrap; gap: 4px 12px; margin-top: 6px; align-items: center; }
  .row label { display: flex; gap: 6px; align-items: center; }
  .row .step { flex: 1; }
  .step input { flex: 1; min-width: 80px; }
  select { font: inherit; max-width: 150px; }
  .thumbs { gap: 3px; }
  .thumbs button { width: 48px; height: 48px; padding: 0; border: 2px solid transparent;
    background: none; cursor: pointer; }
  .thumbs button[aria-pressed=true] { border-color: #0b57d0; }
  .thumbs img { width: 100%; height: 100%; object-fit: cover; display: block; }
  [hidden] { display: none !important; }
  .strip { display: none; }
  @media print { :host { display: block; width: auto } .live { display: none } .strip { display: block } }
</style>
<div class="live">
  <div class="stage">
    <input class="wipe" type="range" min="0" max="100" step="any">
    <img class="under" alt="" draggable="false" decoding="sync">
    <img class="over" alt="" draggable="false" decoding="sync">
    <span class="bar"></span><span class="tag l"></span><span class="tag r"></span>
    <span class="ring"></span>
  </div>
  <div class="row">
    <label>left <select class="pick-left"></select></label>
    <label>right <select class="pick-right"></select></label>
  </div>
  <div class="row frames"><label class="step"><span class="kind"></span>
    <input type="range" min="0" step="1"></label></div>
  <div class="row thumbs" aria-hidden="true"></div>
  <div class="row caption" aria-live="polite"></div>
</div>
<div class="strip"><slot></slot></div>`;
const WHOLE = ["left", "right", "frame"]; // attributes that are whole numbers

class ScganCompare extends HTMLElement {
  static observedAttributes = [...WHOLE, "position"];
  #frames = [];

  constructor() {
    super();
    this.attachShadow({ mode: "open" }).innerHTML = SHADOW;
    const stage = this.$(".stage");
    const follow = (event) => {
      const box = stage.getBoundingClientRect();
      const share = (event.clientX - box.left) / box.width;
      this.put({ position: Math.round(1000 * Math.min(1, Math.max(0, share))) / 10 });
    };
    let held = null; // the pointer that drags
    stage.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      held = event.pointerId;
      stage.setPointerCapture(held);
      this.$(".wipe").focus({ preventScroll: true });
      event.preventDefault();
      follow(event);
    });
    stage.addEventListener("pointermove", (event) => event.pointerId === held && follow(event));
    for (const end of ["pointerup", "pointercancel"])
      stage.addEventListener(end, () => { held = null; });
    this.$(".wipe").addEventListener("input", (event) => // screen readers move the input itself
      this.put({ position: Math.round(10 * event.target.value) / 10 }));
    this.$(".wipe").addEventListener("keydown", (event) => this.#key(event));
    this.$(".pick-left").addEventListener("change", (e) => this.put({ left: +e.target.value }));
    this.$(".pick-right").addEventListener("change", (e) => this.put({ right: +e.target.value }));
    this.$(".step input").addEventListener("input", (e) => this.put({ frame: +e.target.value }));
    this.shadowRoot.addEventListener("keydown", (event) => { // keep notebook shortcuts away
      if (event.key !== "Tab" && event.key !== "Escape") event.stopPropagation();
    });
    new MutationObserver(() => this.#read()).observe(this, { childList: true });
  }

  connectedCallback() { this.#read(); }
  attributeChangedCallback(name) { name === "position" ? this.#move() : this.#show(); }
  $(selector) { return this.shadowRoot.querySelector(selector); }

  // Change attributes as a user does, and tell the host.
  put(change) {
    for (const [name, value] of Object.entries(change)) this.setAttribute(name, value);
    this.dispatchEvent(new CustomEvent("compare", { detail: change, bubbles: true }));
  }

  #value(name) {
    const last = { left: this.#labels.length - 1, right: this.#labels.length - 1,
      frame: this.#frames.length - 1, position: 100 }[name];
    const standard = { left: 0, right: last, frame: 0, position: 50 }[name];
    const value = this.hasAttribute(name) ? +this.getAttribute(name) : standard;
    return Number.isFinite(value) ? Math.min(last, Math.max(0, value)) : standard;
  }

  get #labels() { return this.#frames[0]?.labels ?? []; }

  #key(event) {
    const at = this.#value("position"), pace = event.shiftKey ? 10 : 2;
    const aims = { ArrowLeft: at - pace, ArrowDown: at - pace, ArrowRight: at + pace,
      ArrowUp: at + pace, PageDown: at - 20, PageUp: at + 20, Home: 0, End: 100 };
    const digit = /^(?:Digit|Numpad)([1-9])$/.exec(event.code);
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key in aims) this.put({ position: Math.min(100, Math.max(0, aims[event.key])) });
    else if (digit && digit[1] <= this.#labels.length)
      this.put({ [event.shiftKey ? "left" : "right"]: digit[1] - 1 });
    else return;
    event.preventDefault();
  }

  // Take the pictures from the markup.
  #read() {
    const sections = [...this.querySelectorAll("section")];
    this.#frames = sections.map((section) => {
      const pictures = [...section.querySelectorAll("figure img")];
      return { name: section.dataset.name ?? "", caption: section.dataset.caption ?? "",
        labels: pictures.map((img) => img.alt),
        picture: Object.fromEntries(pictures.map((img) => [img.alt, img])) };
    });
    if (!this.#labels.length) return;
    for (const select of [this.$(".pick-left"), this.$(".pick-right")])
      select.replaceChildren(...this.#labels.map((label, i) => new Option(label, i)));
    this.$(".step input").max = this.#frames.length - 1;
    const single = this.#frames.length < 2;
    this.$(".frames").hidden = single;
    this.$(".thumbs").hidden = single || !this.hasAttribute("thumbnails");
    this.$(".thumbs").replaceChildren(...this.#frames.map((frame, i) => {
      const button = document.createElement("button"), img = new Image();
      button.type = "button"; button.tabIndex = -1; button.title = frame.name; img.alt = "";
      img.src = this.#picture(i, this.#labels.at(-1)).src;
      button.append(img);
      button.addEventListener("click", () => this.put({ frame: i }));
      return button;
    }));
    this.#show();
    this.#move();
  }

  #picture(frame, label) {
    return this.#frames[frame].picture[label] ?? this.#frames[0].picture[label];
  }

  #show() {
    if (!this.#labels.length) return;
    const [left, right, number] = WHOLE.map((name) => this.#value(name));
    const frame = this.#frames[number];
    for (const [layer, tag, select, index] of [
      [".over", ".tag.l", ".pick-left", left], [".under", ".tag.r", ".pick-right", right]]) {
      const picture = this.#picture(number, this.#labels[index]);
      if (this.$(layer).src !== picture.src) this.$(layer).src = picture.src;
      this.$(tag).textContent = this.#labels[index];
      this.$(select).value = index;
    }
    const shape = this.#picture(number, this.#labels[0]);
    const [width, height] = ["width", "height"].map((side) => +shape.getAttribute(side));
    this.$(".stage").style.aspectRatio = `${width} / ${height}`;
    const kind = this.getAttribute("kind") ?? "picture";
    this.$(".kind").textContent = `${kind}: ${frame.name}`;
    const slider = this.$(".step input");
    slider.value = number;
    slider.setAttribute("aria-valuetext", frame.name);
    [...this.$(".thumbs").children].forEach((b, i) => b.setAttribute("aria-pressed", i === number));
    this.$(".caption").textContent = frame.caption;
    this.$(".caption").hidden = !frame.caption;
    this.$(".wipe").setAttribute("aria-label",
      `Compare ${this.#labels[left]} (left) with ${this.#labels[right]} (right). ` +
      "Arrow keys move the border, digits choose the right picture, Shift and digit the left.");
    this.#move();
  }

  #move() {
    if (!this.#labels.length) return;
    const at = this.#value("position"), wipe = this.$(".wipe");
    this.$(".stage").style.setProperty("--position", `${at}%`);
    wipe.value = at;
    const [left, right] = [this.#value("left"), this.#value("right")];
    wipe.setAttribute("aria-valuetext", `${Math.round(at)} percent ${this.#labels[left]}, ` +
      `${Math.round(100 - at)} percent ${this.#labels[right]}`);
  }
}
if (!customElements.get(TAG)) customElements.define(TAG, ScganCompare);

// anywidget: show the model's state, send what the user changes at most once a screen refresh.
function render({ model, el }) {
  const compare = document.createElement(TAG), state = [...WHOLE, "position"];
  const pictures = () => { compare.innerHTML = model.get("markup"); };
  const follow = () => state.forEach((name) => {
    if (compare.getAttribute(name) !== String(model.get(name)))
      compare.setAttribute(name, model.get(name));
  });
  compare.style.setProperty("--width", `${model.get("width")}px`);
  compare.setAttribute("kind", model.get("kind"));
  compare.toggleAttribute("thumbnails", model.get("thumbnails"));
  pictures();
  follow();
  let waiting = false;
  compare.addEventListener("compare", (event) => {
    for (const [name, value] of Object.entries(event.detail)) model.set(name, value);
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; model.save_changes(); });
  });
  model.on("change:markup", pictures);
  for (const name of state) model.on(`change:${name}`, follow);
  el.append(compare);
  return () => {
    model.off("change:markup", pictures);
    for (const name of state) model.off(`change:${name}`, follow);
  };
}
export default { render };
