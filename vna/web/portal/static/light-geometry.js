// Beside the picture of the light viewer: which side of the patient lies at each edge, a scale, and
// a line that measures. All of it belongs to the picture that is shown, never to the next one.
"use strict";

const geometry = { series: "", kinds: [], of: {}, first: null, whose: null, now: null }; // `now` and `whose`: of the picture shown
const line = { is: false, from: null, to: null, held: "" }; // its ends in parts of the picture, 0 to 1
const REACH = 24; // pixels from an end of the line within which a finger takes hold of it

// The page came with that of its first picture; that of a series is asked for after its pictures.
async function measureSeries(uid) {
  if (geometry.series === uid) return;
  Object.assign(geometry, { series: uid, kinds: [], of: {} });
  const answer = await fetch(`${here}/${study}/${uid}/geometry`, { headers: { accept: "application/json" } }).catch(() => null);
  const is = answer && answer.ok && (answer.headers.get("content-type") || "").startsWith("application/json");
  const told = is ? await answer.json().catch(() => null) : null;
  if (geometry.series !== uid) return;
  Object.assign(geometry, told || { series: "" }); // without a connection it is asked for again
  if (shown && shown === address(at)) mark(placed(at));
}

function geometryAt(item) {
  const { uid, frame, told } = geometry.first || (geometry.first = JSON.parse(part("sides").dataset.first));
  if (uid === item.uid && frame === item.frame) return told;
  if (geometry.series !== series.uid) return null;
  let left = item.frame;
  for (const [frames, kind] of geometry.of[item.uid] || []) {
    left -= frames;
    if (left <= 0) return geometry.kinds[kind];
  }
  return null;
}

// Show what belongs to a picture; to what is no picture, nothing.
function mark(item) {
  const whose = item && `${item.uid}/${item.frame}`;
  if (whose !== geometry.whose) line.from = line.to = null;
  Object.assign(geometry, { whose, now: item && geometryAt(item) });
  const sides = geometry.now?.sides || ["", "", "", ""];
  const [top, right, bottom, left] = sides.map((letters) => letters || "–");
  for (const [index, name] of ["top", "right", "bottom", "left"].entries()) part(`side="${name}"`).textContent = sides[index];
  part("sides").hidden = !sides.some(Boolean);
  part("sides").setAttribute("aria-label", say(words.sides, { top, right, bottom, left }));
  drawLines();
}

// -- where in the picture a place on the stage is ---------------------------------------------------

function fitted() {
  const [wide, high] = [stage.clientWidth, stage.clientHeight];
  const ratio = Math.min(wide / canvas.width, high / canvas.height) * view.scale;
  return { x: wide / 2 + view.x, y: high / 2 + view.y, wide: canvas.width * ratio, high: canvas.height * ratio };
}

function onStage([across, down]) {
  const box = fitted();
  return [box.x + (across - 0.5) * box.wide, box.y + (down - 0.5) * box.high];
}

function inPicture([x, y]) {
  const box = fitted();
  return [(x - box.x) / box.wide + 0.5, (y - box.y) / box.high + 0.5].map((one) => Math.min(1, Math.max(0, one)));
}

// -- scale and line ---------------------------------------------------------------------------------

const number = (value) => value.toLocaleString(document.documentElement.lang || "en", { maximumFractionDigits: value < 0.1 ? 4 : value < 1 ? 2 : 1 });

function sized(value) {
  const { where } = geometry.now;
  if (where === "pixels") return say(words.pixels, { size: number(value) });
  return [say(words.mm, { size: number(value) }), words[where]].filter(Boolean).join(" ");
}

// What is not measured in the patient says so beside each number (PS3.3 10.7.1.3).
function drawLines() {
  const extent = geometry.now?.extent;
  part("lines").toggleAttribute("hidden", !extent);
  part("measured").hidden = !(extent && line.is && line.from);
  part("scaled").hidden = true;
  if (!extent) return;
  drawScale(extent);
  const drawn = line.is && line.from;
  part("line").setAttribute("d", drawn ? ends(line.from, line.to) : "");
  if (!drawn) return;
  const length = Math.hypot((line.to[0] - line.from[0]) * extent[0], (line.to[1] - line.from[1]) * extent[1]);
  part("measured").textContent = sized(length);
}

function ends(from, to) {
  const [[x, y], [right, down]] = [onStage(from), onStage(to)];
  const cross = (a, b) => `M${a - 6} ${b}h12M${a} ${b - 6}v12`;
  return `${cross(x, y)}M${x} ${y}L${right} ${down}${cross(right, down)}`;
}

function drawScale([wide]) {
  const least = wide * Math.min(160, stage.clientWidth / 4) / fitted().wide; // mm of the longest
  const step = 10 ** Math.floor(Math.log10(least));
  const length = step * [5, 2, 1].find((times) => times * step <= least);
  const pixels = length / wide * fitted().wide;
  const is = geometry.now.where !== "pixels" && Number.isFinite(pixels);
  part("scaled").hidden = !is;
  part("scale").setAttribute("d", is ? `M${stage.clientWidth - 12 - pixels} ${stage.clientHeight - 18}v8h${pixels}v-8` : "");
  if (is) part("scaled").textContent = sized(length);
}

// -- measuring by hand, or by keyboard --------------------------------------------------------------

function toggleLine() {
  line.is = !line.is;
  press("measure", line.is);
  stage.classList.toggle("measures", line.is);
  if (line.is) layLine();
  drawLines();
  part("told").textContent = line.is && geometry.now?.extent ? part("measured").textContent : "";
}

// Something to take hold of, and for the keyboard to move.
function layLine() {
  if (line.from) return;
  const [middle, half] = [stage.clientHeight / 2, stage.clientWidth / 2];
  [line.from, line.to] = [0.7, 1.3].map((part) => inPicture([half * part, middle]));
}

function dropLine() {
  if (line.is) toggleLine();
  line.from = line.to = null;
}

// A finger takes the end of the line it is near, and draws a new line elsewhere.
function takeLine(place) {
  layLine();
  const away = (end) => Math.hypot(...onStage(line[end]).map((one, index) => one - place[index]));
  const near = ["to", "from"].find((end) => away(end) <= REACH);
  if (!near) line.from = line.to = inPicture(place);
  line.held = near || "to";
}

function moveLine(place) {
  line[line.held] = inPicture(place);
  drawLines();
}

function nudge(key, end) {
  layLine();
  const [x, y] = onStage(line[end]);
  const [across, down] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[key];
  line[end] = inPicture([x + across, y + down]);
  drawLines();
  part("told").textContent = part("measured").textContent;
}
