// A ruled area that records a pen: mount(element, options) fills the element.
//
// Recorded are strokes of [x, y, t]: pixels with y down, and milliseconds since
// the first point.  Every change sends the event "handtraj-ink" from the
// element, with {text, strokes} as its detail.

const SVG = "http://www.w3.org/2000/svg";
const round = (value, digits) => Number(value.toFixed(digits));
let made = 0;

function node(kind, attributes = {}, text = "") {
  const found = document.createElement(kind);
  for (const [key, value] of Object.entries(attributes)) found.setAttribute(key, value);
  found.textContent = text;
  return found;
}

function drawing(kind, attributes) {
  const found = document.createElementNS(SVG, kind);
  for (const [key, value] of Object.entries(attributes)) found.setAttribute(key, value);
  return found;
}

export function mount(element, { text = "", height = 220, filename = "handwriting.json", symbols = "" }) {
  const strokes = [];
  const lines = [];
  let open = null; // the stroke being drawn, and who draws it
  let begun = null; // time of the first point
  let pen = null; // where the pen of the keyboard is, once it is used
  let stylus = false; // whether a real pen was seen: then a touch is a palm
  const name = `handtraj-capture-${++made}-`;

  // The parts of the page.
  const label = node("label", { for: name + "text" }, "What it says");
  const field = node("input", { id: name + "text", type: "text", maxlength: "200", autocomplete: "off" });
  field.setAttribute("spellcheck", "false");
  field.setAttribute("autocapitalize", "off");
  field.value = text;
  const area = drawing("svg", {
    class: "area", height, width: "100%", tabindex: "0", role: "application",
    "aria-label": "Area to write in", "aria-describedby": name + "help",
  });
  for (const [share, kind] of [[0.38, "faint"], [0.62, "base"]]) {
    const y = Math.round(height * share);
    area.append(drawing("line", { class: kind, x1: "0", x2: "100%", y1: y, y2: y }));
  }
  const sheet = drawing("g", { class: "ink" });
  const cursor = drawing("circle", { class: "cursor", r: "4", visibility: "hidden" });
  area.append(sheet, cursor);
  const help = node("p", { id: name + "help", class: "help" },
    "Write with pen, finger or mouse. By keyboard: arrow keys move the pen, with Shift further; "
    + "Space puts it down and lifts it; Ctrl+Z takes the last stroke back.");
  const undo = node("button", { type: "button" }, "Undo stroke");
  const clear = node("button", { type: "button" }, "Clear");
  const save = node("button", { type: "button", class: "save" }, "Download JSON");
  const status = node("p", { class: "status", role: "status" });
  const buttons = node("div", { class: "buttons" });
  const row = node("div", { class: "row" });
  buttons.append(undo, clear, save);
  row.append(label, field);
  element.replaceChildren(row, area, buttons, status, help);
  // JupyterLab would take arrows and Space for commands of its own.
  element.dataset.lmSuppressShortcuts = "true";

  // What is wrong with the text, or "".
  function trouble() {
    const said = field.value.trim().replace(/\s+/g, " ");
    if (!said) return "Say above what it says.";
    const unknown = [...new Set(said)].filter((c) => symbols && !symbols.includes(c));
    return unknown.length ? `The network does not know ${unknown.join(" ")}.` : "";
  }

  const ink = () => ({
    text: field.value.trim().replace(/\s+/g, " "),
    strokes: strokes.map((s) => s.map((p) => [...p])),
  });

  function changed() {
    const points = strokes.reduce((sum, s) => sum + s.length, 0);
    const wrong = trouble();
    undo.disabled = clear.disabled = !strokes.length;
    save.disabled = !points || Boolean(wrong) || Boolean(open);
    const count = points
      ? `${strokes.length} ${strokes.length === 1 ? "stroke" : "strokes"}, ${points} points. `
      : "Nothing written yet. ";
    status.textContent = count + (points ? wrong : "");
    field.setAttribute("aria-invalid", String(Boolean(field.value.trim() && wrong)));
    element.dispatchEvent(new CustomEvent("handtraj-ink", { detail: ink(), bubbles: true }));
  }

  function add(x, y, time) {
    begun ??= time;
    const stroke = strokes[strokes.length - 1];
    const last = stroke[stroke.length - 1];
    const point = [round(x, 2), round(y, 2), round(Math.max(0, time - begun), 1)];
    // Times never go back, whatever the clock of an event says.
    if (last) point[2] = Math.max(point[2], last[2]);
    stroke.push(point);
    const path = stroke.map((p) => `${p[0]} ${p[1]}`);
    // A line of no length with round ends is a dot.
    if (path.length === 1) path.push(path[0]);
    lines[lines.length - 1].setAttribute("d", "M" + path.join("L"));
  }

  function start(by, x, y, time) {
    open = by;
    strokes.push([]);
    lines.push(drawing("path", {}));
    sheet.append(lines[lines.length - 1]);
    add(x, y, time);
    changed();
  }

  function end() {
    open = null;
    changed();
  }

  function drop() {
    open = null;
    strokes.pop();
    lines.pop()?.remove();
    if (!strokes.length) begun = null;
    changed();
  }

  const place = (event) => {
    const box = area.getBoundingClientRect();
    return [event.clientX - box.left - area.clientLeft, event.clientY - box.top - area.clientTop];
  };

  // Pen, finger, mouse: one at a time.
  area.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || (stylus && event.pointerType === "touch")) return;
    event.preventDefault();
    if (event.pointerType === "pen" && !stylus) {
      stylus = true;
      if (open !== null) drop(); // the palm came first
    }
    if (open !== null) return;
    area.focus({ preventScroll: true });
    try { area.setPointerCapture(event.pointerId); } catch { /* the pointer is gone already */ }
    start(event.pointerId, ...place(event), event.timeStamp);
  });
  area.addEventListener("pointermove", (event) => {
    if (open !== event.pointerId) return;
    // A fast pen reports several points between two frames.
    const every = event.getCoalescedEvents?.() ?? [];
    for (const one of every.length ? every : [event]) add(...place(one), one.timeStamp);
  });
  area.addEventListener("pointerup", (event) => {
    if (open === event.pointerId) end();
  });
  area.addEventListener("pointercancel", (event) => {
    if (open === event.pointerId) drop();
  });

  area.addEventListener("contextmenu", (event) => event.preventDefault());

  // The keyboard's pen.
  const STEP = 4;
  const ways = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  function show() {
    cursor.setAttribute("cx", pen[0]);
    cursor.setAttribute("cy", pen[1]);
    cursor.setAttribute("visibility", "visible");
    cursor.classList.toggle("down", open === "keyboard");
  }
  area.addEventListener("keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "z") {
      event.preventDefault();
      if (strokes.length) drop();
      if (pen) show();
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const way = ways[event.key];
    if (!way && event.key !== " ") return;
    event.preventDefault();
    if (open !== null && open !== "keyboard") return;
    pen ??= [24, Math.round(height * 0.62)];
    if (way) {
      const by = event.shiftKey ? 5 * STEP : STEP;
      const right = area.clientWidth || area.getBoundingClientRect().width;
      pen[0] = Math.min(Math.max(pen[0] + by * way[0], 0), right);
      pen[1] = Math.min(Math.max(pen[1] + by * way[1], 0), height);
      if (open === "keyboard") add(...pen, event.timeStamp);
    } else if (!event.repeat) {
      if (open === "keyboard") end();
      else start("keyboard", ...pen, event.timeStamp);
    }
    show();
  });
  area.addEventListener("blur", () => {
    if (open === "keyboard") end();
    cursor.setAttribute("visibility", "hidden");
  });

  undo.addEventListener("click", drop);
  clear.addEventListener("click", () => {
    while (strokes.length) drop();
    area.focus({ preventScroll: true });
  });
  save.addEventListener("click", () => {
    const blob = new Blob([JSON.stringify(ink())], { type: "application/json" });
    const link = node("a", { download: filename, href: URL.createObjectURL(blob) });
    element.append(link);
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  });
  field.addEventListener("input", changed);
  changed();
  return { ink };
}
