// Sends a folder, a disc, a ZIP or an ISO: a list first, then what is missing, four files at a time.
// A file is named by what it is called, its size and its age, so that choosing the same folder again
// sends only what did not come. Each carries its SHA-256 where the browser can compute one.
"use strict";

const box = document.getElementById("sending");
const AT_ONCE = 4, TRIES = 4, HASHED = 64 << 20, SPEAK_MS = 5000;
const state = { queue: [], sent: 0, bytes: 0, done: 0, total: 0, busy: 0, paused: false, begun: 0, spoke: 0 };
const at = (id) => document.getElementById(id);

function hex(buffer) {
  return [...new Uint8Array(buffer)].map((one) => one.toString(16).padStart(2, "0")).join("");
}
function plainHash(text) { // where there is no crypto.subtle: over plain HTTP on another machine
  let found = "";
  for (let round = 0; round < 4; round++) {
    let sum = 0x811c9dc5 ^ (round * 0x9e3779b1);
    for (let n = 0; n < text.length; n++) sum = Math.imul(sum ^ text.charCodeAt(n), 0x01000193);
    found += (sum >>> 0).toString(16).padStart(8, "0");
  }
  return found;
}
async function markOf(item) {
  const text = `${item.name}\n${item.file.size}\n${item.file.lastModified}`;
  if (!window.crypto || !crypto.subtle) return plainHash(text);
  return hex(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text))).slice(0, 32);
}
async function digestOf(data) {
  const sum = new Uint8Array(await crypto.subtle.digest("SHA-256", data));
  return `sha-256=:${btoa(String.fromCharCode(...sum))}:`;
}
async function walked(entry, path) {
  if (entry.isFile) {
    const file = await new Promise((good, bad) => entry.file(good, bad)).catch(() => null);
    return file ? [{ file, name: path + entry.name }] : [];
  }
  const reader = entry.createReader(), found = [];
  for (;;) {
    const some = await new Promise((good, bad) => reader.readEntries(good, bad)).catch(() => []);
    if (!some.length) return found;
    for (const one of some) found.push(...await walked(one, `${path}${entry.name}/`));
  }
}
function size(bytes) {
  return bytes < 1 << 20 ? `${Math.ceil(bytes / 1024)} KB` : `${(bytes / (1 << 20)).toLocaleString(document.documentElement.lang, { minimumFractionDigits: 1, maximumFractionDigits: 1 })} MB`;
}
function show() {
  const part = state.total ? state.done / state.total : 1;
  at("bar").value = Math.round(part * 100);
  const gone = (Date.now() - state.begun) / 1000, left = state.done ? gone / state.done * (state.total - state.done) : 0;
  const words = box.dataset;
  const wait = left > 60 ? `, ${words.minutes.replace("{n}", Math.ceil(left / 60))}` : "";
  const is_over = !state.queue.length && !state.busy;
  const count = words.files.replace("{n}", state.sent);
  const part_of = words.of.replace("{done}", size(state.done)).replace("{total}", size(state.total));
  const text = is_over ? `${words.all} ${count}` : `${count}, ${part_of}${state.paused ? `, ${words.paused}` : wait}`;
  at("how").textContent = text;
  if (is_over || Date.now() - state.spoke > SPEAK_MS) { at("words").textContent = text; state.spoke = Date.now(); }
  at("pause").hidden = is_over;
  if (is_over && at("finish")) at("finish").focus();
}
function failed(item, why) {
  const line = document.createElement("li");
  line.textContent = `${item.name}: ${why}`;
  at("failed").append(line);
}
async function send(item) {
  for (let attempt = 1; ; attempt++) {
    let why = box.dataset.lost;
    try {
      const headers = { "X-VNA-Form": box.dataset.form, "X-VNA-Name": encodeURIComponent(item.name).slice(0, 3000) };
      let body = item.file;
      if (window.crypto && crypto.subtle && item.file.size <= HASHED) {
        body = await item.file.arrayBuffer();
        headers["Content-Digest"] = await digestOf(body);
      }
      const answer = await fetch(`${box.dataset.import}/file/${item.mark}`, { method: "PUT", headers, body });
      if (answer.ok) { state.sent++; return; }
      const told = await answer.json().catch(() => ({}));
      why = told.message || box.dataset.refused;
      if (answer.status < 500 && answer.status !== 409 && answer.status !== 429) return failed(item, why);
    } catch (error) {
      if (error.name === "NotReadableError") return failed(item, box.dataset.unread);
    }
    if (attempt === TRIES) return failed(item, `${why}; ${box.dataset.again}`);
    await new Promise((go) => setTimeout(go, 1000 * 3 ** (attempt - 1)));
  }
}
async function work() {
  state.busy++;
  while (state.queue.length && !state.paused) {
    const item = state.queue.shift();
    await send(item);
    state.done += item.file.size;
    show();
  }
  state.busy--;
  show();
}
function go() {
  while (state.busy < Math.min(AT_ONCE, state.queue.length) && !state.paused) work();
  show();
}
async function add(items) {
  if (!items.length) return;
  at("going").hidden = false;
  at("failed").replaceChildren();
  at("how").textContent = box.dataset.looking.replace("{n}", items.length);
  const known = new Map();
  for (const item of items) { item.mark = await markOf(item); known.set(item.mark, item); }
  const list = [...known.values()];
  const marks = list.map((item) => item.mark); // an exchange counts items, too: folders, or files by themselves
  const tops = [...new Set(list.map((item) => item.name.split("/")[0]))];
  const answer = await fetch(`${box.dataset.import}/expect`, {
    method: "POST", headers: { "X-VNA-Form": box.dataset.form, "Content-Type": "application/json" },
    body: JSON.stringify(box.dataset.items ? { marks, items: tops } : marks),
  }).catch(() => null);
  if (!answer || !answer.ok) {
    const told = answer && box.dataset.items ? await answer.json().catch(() => ({})) : {};
    at("how").textContent = "";
    return failed({ name: box.dataset.list }, told.message || box.dataset.reload);
  }
  const missing = (await answer.json()).missing.map((n) => list[n]);
  if (!state.begun) state.begun = Date.now();
  state.queue.push(...missing);
  state.total += missing.reduce((sum, item) => sum + item.file.size, 0);
  go();
}

if (box) {
  box.hidden = false;
  for (const id of ["folder", "several"]) {
    at(id).addEventListener("change", (event) => {
      add([...event.target.files].map((file) => ({ file, name: file.webkitRelativePath || file.name })));
      event.target.value = "";
    });
  }
  const drop = at("drop");
  for (const kind of ["dragenter", "dragover"]) drop.addEventListener(kind, (event) => { event.preventDefault(); drop.classList.add("is-over"); });
  for (const kind of ["dragleave", "drop"]) drop.addEventListener(kind, (event) => { event.preventDefault(); drop.classList.remove("is-over"); });
  drop.addEventListener("drop", async (event) => {
    const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry && item.webkitGetAsEntry()).filter(Boolean);
    const found = [];
    for (const entry of entries) found.push(...await walked(entry, ""));
    add(found);
  });
  at("pause").addEventListener("click", () => {
    state.paused = !state.paused;
    const words = at("pause").dataset;
    words.pause = words.pause || at("pause").textContent;
    at("pause").textContent = state.paused ? words.goOn : words.pause;
    if (!state.paused) go(); else show();
  });
  window.addEventListener("beforeunload", (event) => { if (state.busy) event.preventDefault(); });
}
