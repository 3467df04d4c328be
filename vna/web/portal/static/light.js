// The light viewer. The server renders frames; this shows them, fetches the neighbours ahead, and
// keeps few enough bytes of them that a phone's memory stays free: pictures wait as they came, the
// next ones decoded. They are drawn on one canvas, since what an <img> has shown stays decoded in the
// browser, tens of megabytes of it, however soon we let go of the element.
"use strict";

if (!window.createImageBitmap) throw new Error("this browser is too old: the page works without scripts");
const app = document.querySelector("[data-viewer]");
const { base, here, study, origin } = app.dataset;
const words = JSON.parse(app.dataset.words);
const part = (name) => app.querySelector(`[data-${name}]`);
const stage = part("stage");
const slider = part("slider");
const AHEAD = 5; // places fetched before and behind
const NEXT = 3; // places decoded before they are looked at
const HELD = 4 << 20; // bytes held of pictures as they came
const DECODED = 4 << 20; // bytes of the decoded ones that wait: one of 1024 x 1024
const AT_ONCE = 3; // requests under way
const MOST_SIDE = 1024;

const series = { uid: app.dataset.series, items: [], starts: [], places: 0, grey: false, window: null, rows: 0, columns: 0 };
let at = Number(app.dataset.at);
let direction = 1;
let look = { window: null, bright: 1, contrast: 1, invert: false };
let view = { scale: 1, x: 0, y: 0 };
let playing = null;
let shown = null; // the address that is on the stage

const canvas = document.createElement("canvas");
canvas.setAttribute("role", "img");
canvas.width = canvas.height = MOST_SIDE; // until there is a picture, think of the largest
// kept out of the graphics memory, where each picture drawn would stay for a while
const paper = canvas.getContext("2d", { alpha: false, willReadFrequently: true });

const say = (text, values) => text.replace(/\{(\w+)\}/g, (_, name) => values[name]);

// -- what is at a place ---------------------------------------------------------------------------

function take(told) {
  series.items = told.items.map(([tail, frames, kind]) => ({ uid: told.common + tail, frames, kind: kind || "image" }));
  series.starts = [];
  series.places = 0;
  for (const item of series.items) {
    series.starts.push(series.places);
    series.places += item.frames;
  }
  Object.assign(series, { grey: told.grey, window: told.window, rows: told.rows, columns: told.columns });
  part("rate").value = [4, 8, 15, 25].reduce((a, b) => (Math.abs(b - 1000 / told.frame_ms) < Math.abs(a - 1000 / told.frame_ms) ? b : a));
}

function placed(place) {
  let low = 0, high = series.starts.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (series.starts[middle] < place) low = middle; else high = middle - 1;
  }
  return { ...series.items[low], frame: place - series.starts[low] };
}

const root = (item) => `${base}/studies/${study}/series/${series.uid}/instances/${item.uid}`;

function address(place) {
  const item = placed(place);
  if (item.kind !== "image") return null;
  const native = Math.max(series.rows, series.columns) || MOST_SIDE;
  const wanted = Math.max(stage.clientWidth, stage.clientHeight) * (window.devicePixelRatio || 1) * Math.min(view.scale, 2);
  const side = Math.max(128, Math.min(native, MOST_SIDE, Math.ceil(wanted / 128) * 128));
  const windowed = look.window ? `&window=${look.window[0]},${look.window[1]},linear` : "";
  return `${root(item)}/frames/${item.frame}/rendered?viewport=${side},${side}&quality=80&accept=image/jpeg${windowed}`;
}

// -- pictures: fetched, held as they came, decoded when they are next, dropped ------------------------

const held = new Map(); // address -> a Blob or the page's own <img>, the latest used last
const under = new Map(); // address -> what ends its request
const ready = new Map(); // address -> ImageBitmap, decoded and not looked at yet
let decoding = false; // one after the other: each takes its bytes twice meanwhile
const lost = new Map(); // address -> what is said of it: tried again by whoever goes there again

// The place so many steps on: a film goes on with its first picture.
function along(steps) {
  const place = at + steps;
  return playing && place > series.places ? place - series.places : place;
}

// The addresses of this place and of the neighbours within reach, those ahead before those behind.
function around(reach, back) {
  const found = [address(at)];
  for (let step = 1; step <= reach; step += 1) {
    for (const place of [along(step * direction), ...(back ? [along(-step * direction)] : [])]) {
      if (place >= 1 && place <= series.places) found.push(address(place));
    }
  }
  return [...new Set(found)].filter((url) => url && !lost.has(url));
}

const weight = (urls) => [...urls].reduce((sum, url) => sum + (held.get(url)?.size || 0), 0);

function pump() {
  const wanted = around(AHEAD, true);
  for (const [url, stop] of under) {
    if (wanted.includes(url)) continue;
    under.delete(url);
    stop.abort();
  }
  for (const url of held.keys()) { // what is wanted stays, or it would be fetched again and again
    if (weight(held.keys()) <= HELD) break;
    if (!wanted.includes(url)) held.delete(url);
  }
  for (const url of wanted) {
    if (under.size >= AT_ONCE || (url !== wanted[0] && weight(wanted) >= HELD)) break;
    if (!held.has(url) && !under.has(url)) fetchPicture(url);
  }
  decode();
}

async function fetchPicture(url) {
  const stop = new AbortController();
  under.set(url, stop);
  let why = words.lost;
  const picture = await got(url, stop.signal, (text) => { why = text; }).catch(() => null);
  if (under.get(url) !== stop) return; // no longer wanted
  under.delete(url);
  if (picture) held.set(url, picture); else lose(url, why);
  pump();
}

async function got(url, signal, refused) {
  const first = stage.querySelector("img[data-first]");
  if (first && first.getAttribute("src") === url) { // it came with the page
    if (await first.decode().then(() => true, () => false)) return first;
  }
  const answer = await fetch(url, { signal });
  if (answer.ok) return answer.blob();
  // no connection would help: there is no picture in it that can be made
  if ([406, 413].includes(answer.status)) refused(words.none);
  return null;
}

function lose(url, why) {
  held.delete(url);
  lost.set(url, why);
  if (url === address(at)) draw();
}

// Decode this place and the next, as many as their bytes allow; free those passed by.
function decode() {
  const each = 4 * canvas.width * canvas.height; // of the last one: those beside it are as large
  const next = around(Math.min(NEXT, Math.max(1, Math.floor(DECODED / each))), false);
  for (const [url, bitmap] of ready) {
    if (next.includes(url)) continue;
    bitmap.close();
    ready.delete(url);
  }
  const url = next.find((one) => held.has(one) && !ready.has(one) && one !== shown);
  if (url && !decoding) decodePicture(url);
}

async function decodePicture(url) {
  decoding = true;
  const bitmap = await createImageBitmap(held.get(url)).catch(() => null);
  decoding = false;
  if (bitmap) ready.set(url, bitmap); else lose(url, words.lost);
  if (url === address(at)) draw();
  decode();
}

// -- what is shown --------------------------------------------------------------------------------

function draw() {
  const item = placed(at);
  const url = address(at);
  stage.classList.toggle("still", item.kind !== "image");
  part("pan").hidden = view.scale === 1 || item.kind !== "image";
  document.querySelector("[data-warning]").hidden = !["image", "video"].includes(item.kind);
  if (item.kind !== "image") {
    if (shown !== root(item)) {
      shown = root(item);
      put(document_(item));
    }
    return;
  }
  pose(); // what waits for its picture is already seen as it was set
  if (shown !== url && !ready.has(url)) {
    stage.classList.toggle("waits", !lost.has(url) && !held.has(url));
    if (lost.has(url)) {
      shown = null;
      put(note(lost.get(url)));
    }
    return;
  }
  stage.classList.remove("waits");
  canvas.setAttribute("aria-label", described());
  if (shown !== url) show(url);
}

function show(url) {
  const bitmap = ready.get(url);
  const picture = held.get(url);
  ready.delete(url);
  if (held.delete(url)) held.set(url, picture); // the latest used stands last
  for (const side of ["width", "height"]) { // set only where it differs: setting takes new memory
    if (canvas[side] !== bitmap[side]) canvas[side] = bitmap[side];
  }
  paper.drawImage(bitmap, 0, 0);
  bitmap.close();
  shown = canvas.dataset.shown = url;
  if (canvas.parentNode !== stage) stage.replaceChildren(canvas);
  mark(placed(at));
}

// Nothing said of a picture stands beside what is none.
function put(element) {
  stage.replaceChildren(element);
  mark(null);
}

function document_(item) {
  if (item.kind === "report") {
    const frame = document.createElement("iframe");
    frame.setAttribute("sandbox", "");
    frame.title = words.report;
    frame.src = `${root(item)}/rendered?accept=text/html`;
    return frame;
  }
  if (item.kind === "video") {
    const video = document.createElement("video");
    video.controls = true;
    video.setAttribute("aria-label", words.video);
    video.onerror = () => stage.replaceChildren(note(words.video_lost));
    video.src = `${root(item)}/rendered`;
    return video;
  }
  if (item.kind === "other") return note(words.none);
  const way = document.createElement("a");
  Object.assign(way, { className: "button", href: `${root(item)}/rendered`, target: "_blank", rel: "noopener", textContent: words[item.kind] });
  const told = note("");
  told.append(way);
  return told;
}

function note(text) {
  const told = document.createElement("p");
  told.className = "told";
  told.textContent = text;
  return told;
}

function pose() {
  const filters = [];
  if (look.bright !== 1) filters.push(`brightness(${look.bright})`);
  if (look.contrast !== 1) filters.push(`contrast(${look.contrast})`);
  if (look.invert) filters.push("invert(1)");
  canvas.style.filter = filters.join(" ");
  canvas.style.transform = view.scale === 1 ? "" : `translate(${view.x}px, ${view.y}px) scale(${view.scale})`;
  drawLines();
}

const position = () => say(placed(at).kind === "image" ? words.image : words.document, { at, all: series.places });

function described() {
  const links = [...app.querySelectorAll("[data-go]")];
  const number = links.findIndex((link) => link.dataset.go === series.uid) + 1;
  return `${app.dataset.title}, ${say(words.series, { at: number, all: links.length })}, ${position()}`;
}

let resting = 0;
function go(place) {
  const next = Math.min(series.places, Math.max(1, place));
  direction = next < at && !playing ? -1 : 1;
  if (next !== at && !playing) lost.delete(address(next)); // lost ahead, when there was no connection
  at = next;
  slider.value = at;
  slider.setAttribute("aria-valuetext", position());
  part("place").textContent = position();
  part("tools").hidden = false;
  clearTimeout(resting);
  if (!playing) resting = setTimeout(rest, 600);
  draw();
  pump();
}

// A reader of the screen hears where it stopped, and the address says so, but not every step: with
// each address Chromium makes the page's icon anew, a third of a megabyte, and Safari counts them.
function rest() {
  part("told").textContent = position();
  history.replaceState(null, "", `${here}/${study}?series=${series.uid}&at=${at}${origin}`);
}

let opening = ""; // the series asked for last: what was asked for before it may come after it
async function open(uid) {
  pause();
  opening = uid;
  let answer = null, told = null;
  try {
    answer = await fetch(`${here}/${study}/${uid}`, { headers: { accept: "application/json" } });
    const isTold = answer.ok && (answer.headers.get("content-type") || "").startsWith("application/json");
    told = isTold ? await answer.json() : null;
  } catch { // no connection
    answer = null;
  }
  if (opening !== uid) return;
  if (!answer) {
    opening = series.uid;
    shown = null;
    put(note(words.lost));
    return;
  }
  if (!told) {
    location.assign(`${here}/${study}?series=${uid}${origin}`); // the page says what is wrong
    return;
  }
  const isFirst = !series.places;
  series.uid = uid;
  take(told);
  held.clear();
  lost.clear();
  if (!isFirst) at = 1;
  for (const link of app.querySelectorAll("[data-go]")) {
    if (link.dataset.go === uid) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  }
  slider.max = series.places;
  slider.disabled = series.places < 2;
  part("ct").hidden = part("ct").disabled = !(series.grey && app.querySelector(`[data-go="${uid}"]`).dataset.modality === "CT");
  for (const name of ["bright", "dark", "more", "less", "invert", "in", "out", "measure", "reset"]) {
    app.querySelector(`[data-do="${name}"]`).disabled = placed(at).kind !== "image";
  }
  app.querySelector('[data-do="play"]').disabled = series.places < 2;
  reset();
  measureSeries(uid);
}

// -- how it looks ---------------------------------------------------------------------------------

function reset() {
  look = { window: null, bright: 1, contrast: 1, invert: false };
  view = { scale: 1, x: 0, y: 0 };
  part("preset").value = "";
  press("invert", false);
  dropLine();
  go(at);
}

function press(name, is) {
  app.querySelector(`[data-do="${name}"]`).setAttribute("aria-pressed", String(is));
}

// Where the image says which window it wants, the server draws another; else the browser does.
function adjust(shift, stretch) {
  const now = look.window || (series.grey && series.window);
  if (now) {
    const width = Math.max(1, now[1] * stretch);
    look.window = [Math.round((now[0] - shift * now[1]) * 100) / 100, Math.round(width * 100) / 100];
    const own = part("preset").querySelector('[value="own"]');
    own.hidden = false;
    part("preset").value = "own";
  } else {
    look.bright = Math.min(4, Math.max(0.2, look.bright * (1 + shift * 2)));
    look.contrast = Math.min(4, Math.max(0.2, look.contrast / stretch));
  }
  lost.clear();
  go(at);
}

function zoom(factor, x = 0, y = 0) {
  const scale = Math.min(8, Math.max(1, view.scale * factor));
  const ratio = scale / view.scale;
  view = { scale, x: scale === 1 ? 0 : x - (x - view.x) * ratio, y: scale === 1 ? 0 : y - (y - view.y) * ratio };
  settle();
  go(at);
}

function pan(x, y) {
  view.x += x;
  view.y += y;
  settle();
  pose();
}

function settle() { // never further than the edge
  const wide = (stage.clientWidth * (view.scale - 1)) / 2, high = (stage.clientHeight * (view.scale - 1)) / 2;
  view.x = Math.min(wide, Math.max(-wide, view.x));
  view.y = Math.min(high, Math.max(-high, view.y));
}

// -- moving pictures ------------------------------------------------------------------------------

function play() {
  if (playing) return pause();
  playing = { timer: 0 };
  direction = 1;
  press("play", true);
  label(words.pause);
  tick();
}

function tick() {
  if (!playing) return;
  playing.timer = setTimeout(() => {
    const next = at >= series.places ? 1 : at + 1;
    const url = address(next);
    if (!url || ready.has(url) || url === shown || lost.has(url) || shown === null) go(next);
    else pump();
    tick();
  }, 1000 / Number(part("rate").value));
}

function pause() {
  if (!playing) return;
  clearTimeout(playing.timer);
  playing = null;
  press("play", false);
  label(words.play);
  go(at);
}

function label(text) {
  app.querySelector('[data-do="play"] [data-label]').textContent = text;
}

// -- what people do -------------------------------------------------------------------------------

const STEP = 60;
const acts = {
  prev: () => go(at - 1), next: () => go(at + 1), play,
  bright: () => adjust(0.12, 1), dark: () => adjust(-0.12, 1), more: () => adjust(0, 0.8), less: () => adjust(0, 1.25),
  invert: () => { look.invert = !look.invert; press("invert", look.invert); draw(); },
  in: () => zoom(1.5), out: () => zoom(1 / 1.5), measure: toggleLine, reset,
  up: () => pan(0, STEP), down: () => pan(0, -STEP),
  full: () => (document.fullscreenElement ? document.exitFullscreen() : document.documentElement.requestFullscreen()).catch(() => {}),
};

app.addEventListener("click", (event) => {
  const button = event.target.closest("[data-do], [data-go]");
  if (!button || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  if (button.dataset.go) return choose(button.dataset.go);
  if ("panLeft" in button.dataset) return pan(STEP, 0);
  if ("panRight" in button.dataset) return pan(-STEP, 0);
  if (playing && ["prev", "next"].includes(button.dataset.do)) pause();
  acts[button.dataset.do]();
});

function choose(uid) {
  if (uid !== series.uid || !series.places) return open(uid);
  opening = uid; // whoever was on the way to another stays
  go(at);
}

slider.addEventListener("input", () => { pause(); go(Number(slider.value)); });
part("preset").addEventListener("change", (event) => {
  const value = event.target.value;
  if (value === "own") return;
  look.window = value ? value.split(",").map(Number) : null;
  look.bright = look.contrast = 1;
  lost.clear();
  go(at);
});
part("preset").closest("select").setAttribute("autocomplete", "off");

const keys = {
  ArrowUp: () => go(at - 1), ArrowLeft: () => go(at - 1), ArrowDown: () => go(at + 1), ArrowRight: () => go(at + 1),
  PageUp: () => go(at - 10), PageDown: () => go(at + 10), Home: () => go(1), End: () => go(series.places),
  " ": play, "+": acts.in, "=": acts.in, "-": acts.out, i: acts.invert, m: toggleLine, r: reset, f: acts.full,
};
stage.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || !keys[event.key] || event.target !== stage) return;
  event.preventDefault();
  if (line.is && event.key.startsWith("Arrow")) return nudge(event.key, event.shiftKey ? "from" : "to");
  if (event.key !== " ") pause();
  keys[event.key]();
});

let rolled = 0;
stage.addEventListener("wheel", (event) => {
  event.preventDefault();
  if (event.ctrlKey) return zoom(event.deltaY < 0 ? 1.15 : 1 / 1.15, ...from(event));
  pause();
  rolled += event.deltaY;
  const steps = Math.trunc(rolled / 40);
  if (steps) { rolled -= steps * 40; go(at + steps); }
}, { passive: false });

const from = (event) => {
  const box = stage.getBoundingClientRect();
  return [event.clientX - box.left - box.width / 2, event.clientY - box.top - box.height / 2];
};
const inStage = (event) => {
  const box = stage.getBoundingClientRect();
  return [event.clientX - box.left, event.clientY - box.top];
};

// One finger goes through the images, or moves one that is enlarged; two enlarge.
const fingers = new Map();
let pinch = 0, moved = 0, tapped = 0;
stage.addEventListener("pointerdown", (event) => {
  if (stage.classList.contains("still")) return;
  stage.setPointerCapture(event.pointerId);
  fingers.set(event.pointerId, [event.clientX, event.clientY]);
  moved = 0;
  pinch = spread();
  if (line.is && fingers.size === 1) takeLine(inStage(event));
});
stage.addEventListener("pointermove", (event) => {
  const last = fingers.get(event.pointerId);
  if (!last) return;
  const [x, y] = [event.clientX - last[0], event.clientY - last[1]];
  if (fingers.size === 2) {
    fingers.set(event.pointerId, [event.clientX, event.clientY]);
    const now = spread();
    if (pinch) zoom(now / pinch, ...from(event));
    pinch = now;
  } else if (line.is) {
    moved += 1;
    moveLine(inStage(event));
  } else if (view.scale > 1) {
    fingers.set(event.pointerId, [event.clientX, event.clientY]);
    pan(x, y);
  } else {
    const way = Math.abs(x) > Math.abs(y) ? -x : y; // to the left, or down, is on
    const per = Math.max(4, Math.min(24, (stage.clientHeight * 0.8) / series.places));
    const steps = Math.trunc(way / per);
    if (!steps) return;
    moved += Math.abs(steps);
    fingers.set(event.pointerId, [event.clientX, event.clientY]);
    pause();
    go(at + steps);
  }
});
for (const kind of ["pointerup", "pointercancel"]) {
  stage.addEventListener(kind, (event) => {
    if (!fingers.delete(event.pointerId)) return;
    pinch = spread();
    if (moved || event.pointerType === "mouse") return;
    if (event.timeStamp - tapped < 300) zoom(view.scale > 1 ? 1 / view.scale : 2.5, ...from(event));
    tapped = event.timeStamp;
  });
}
stage.addEventListener("dblclick", (event) => { if (!stage.classList.contains("still")) zoom(view.scale > 1 ? 1 / view.scale : 2.5, ...from(event)); });

function spread() {
  if (fingers.size !== 2) return 0;
  const [one, other] = [...fingers.values()];
  return Math.hypot(one[0] - other[0], one[1] - other[1]);
}

// A thumbnail that cannot be made gives way to a plain field.
for (const image of app.querySelectorAll(".strip img")) {
  const plain = () => {
    const field = document.createElement("span");
    field.className = "no-picture";
    field.setAttribute("aria-hidden", "true");
    field.textContent = "–";
    image.hidden = true;
    image.after(field);
  };
  if (image.complete && !image.naturalWidth) plain(); else image.addEventListener("error", plain);
}

addEventListener("online", () => {
  lost.clear();
  if (!series.places) return open(series.uid);
  go(at);
  measureSeries(series.uid);
});
addEventListener("resize", () => { if (series.places) go(at); });
document.addEventListener("visibilitychange", () => { if (document.hidden) pause(); });
open(series.uid);
