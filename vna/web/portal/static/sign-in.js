// Passkeys, and the secret of a one-time link. Everything else works without scripts.
"use strict";

// The link's secret stands after #, which is sent to nobody: into the form with it, and out of the
// address line, so that it is not left in the history.
const link = document.querySelector("form[data-link]");
function take() {
  const secret = location.hash.slice(1), field = link.elements.link;
  if (!secret || document.getElementById(secret)) return; // a place on the page
  field.value = secret;
  field.closest("label").hidden = true;
  history.replaceState(null, "", location.pathname);
}
if (link) {
  take();
  addEventListener("hashchange", take); // another link, into the window where this page stands
}

// The way back from the identity provider: its answer goes on with our cookie, and out of the history.
const send = document.querySelector("form[data-send]");
if (send) {
  history.replaceState(null, "", location.pathname);
  send.submit();
}

const bytes = (text) =>
  Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
const text = (buffer) =>
  btoa(String.fromCharCode(...new Uint8Array(buffer)))
    .replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");

async function post(box, path, body) {
  const answer = await fetch(path, {
    method: "POST",
    headers: {
      "content-type": "application/json",
      "x-vna-form": box.dataset.form,
      "x-vna-next": box.dataset.next,
    },
    body,
  });
  const isJson = (answer.headers.get("content-type") || "").startsWith("application/json");
  if (!answer.ok || !isJson) throw new Error(box.querySelector(".trouble").dataset.refused);
  return answer.json();
}

const known = (list) => (list || []).map((one) => ({ ...one, id: bytes(one.id) }));

async function create(options) {
  const made = await navigator.credentials.create({
    publicKey: {
      ...options,
      challenge: bytes(options.challenge),
      user: { ...options.user, id: bytes(options.user.id) },
      excludeCredentials: known(options.excludeCredentials),
    },
  });
  return {
    id: made.id,
    rawId: text(made.rawId),
    type: made.type,
    response: {
      clientDataJSON: text(made.response.clientDataJSON),
      attestationObject: text(made.response.attestationObject),
    },
  };
}

async function get(options) {
  const shown = await navigator.credentials.get({
    publicKey: {
      ...options,
      challenge: bytes(options.challenge),
      allowCredentials: known(options.allowCredentials),
    },
  });
  const { clientDataJSON, authenticatorData, signature, userHandle } = shown.response;
  return {
    id: shown.id,
    rawId: text(shown.rawId),
    type: shown.type,
    response: {
      clientDataJSON: text(clientDataJSON),
      authenticatorData: text(authenticatorData),
      signature: text(signature),
      userHandle: userHandle ? text(userHandle) : null,
    },
  };
}

async function run(box) {
  const options = await post(box, box.dataset.begin, "{}");
  const answer = await (box.dataset.passkey === "create" ? create(options) : get(options));
  const told = await post(box, box.dataset.end, JSON.stringify(answer));
  if (told.submit) document.getElementById(told.submit).submit();
  else location.assign(told.next);
}

for (const box of document.querySelectorAll("[data-passkey]")) {
  if (!window.PublicKeyCredential) continue;
  box.hidden = false;
  const trouble = box.querySelector(".trouble");
  box.querySelector("button").addEventListener("click", () => {
    trouble.hidden = true;
    run(box).catch((error) => {
      trouble.textContent =
        error.name === "NotAllowedError" ? trouble.dataset.unseen : error.message;
      trouble.hidden = false;
    });
  });
}
