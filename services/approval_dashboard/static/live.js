// Keeps the page current: the server says that something changed, the page asks what.
// What a person is doing (typed text, choices, open details, focus) survives the exchange.
(() => {
  "use strict";
  const status = document.getElementById("live-status");
  const announce = document.getElementById("announce");

  const show = (state, text) => {
    status.dataset.state = state;
    status.querySelector(".text").textContent = text;
  };

  const refresh = () => htmx.trigger(document.body, "changed");

  const connect = () => {
    const source = new EventSource(document.body.dataset.live);
    let opened = false;
    source.addEventListener("open", () => {
      show("on", "live");
      if (opened || lost) refresh(); // something may have happened meanwhile
      opened = true;
      lost = false;
    });
    source.addEventListener("changed", refresh);
    source.addEventListener("error", () => {
      lost = true;
      show("lost", "reconnecting…");
      if (source.readyState === EventSource.CLOSED) setTimeout(connect, 1000);
    });
    window.addEventListener("pagehide", () => source.close());
  };
  let lost = false;

  let kept = null;
  const fields = "input:not([type=hidden]), textarea, select";
  const dirty = (field) =>
    field.type === "radio" || field.type === "checkbox"
      ? field.checked !== field.defaultChecked
      : field.tagName !== "SELECT" && field.value !== field.defaultValue;

  const keep = (region) => {
    const active = document.activeElement;
    const inside = active && region.contains(active) && active.id;
    kept = {
      fields: [...region.querySelectorAll(fields)]
        .filter((field) => field.id && dirty(field))
        .map((field) => ({ id: field.id, value: field.value, checked: field.checked })),
      details: [...region.querySelectorAll("details[id]")].map((one) => [one.id, one.open]),
      focus: inside ? { id: active.id, start: active.selectionStart, end: active.selectionEnd } : null,
      lostFocus: Boolean(active && region.contains(active)),
    };
  };

  const restore = () => {
    if (!kept) return;
    for (const { id, value, checked } of kept.fields) {
      const field = document.getElementById(id);
      if (!field) continue;
      if (field.type === "radio" || field.type === "checkbox") field.checked = checked;
      else field.value = value;
    }
    for (const [id, open] of kept.details) {
      const one = document.getElementById(id);
      if (one) one.open = open;
    }
    const again = kept.focus && document.getElementById(kept.focus.id);
    if (again) {
      again.focus({ preventScroll: true });
      if (kept.focus.start != null && again.setSelectionRange)
        again.setSelectionRange(kept.focus.start, kept.focus.end);
    } else if (kept.lostFocus) {
      document.getElementById("main").focus({ preventScroll: true });
    }
    kept = null;
  };

  const count = (text) => {
    const now = new DOMParser().parseFromString(text, "text/html");
    const theirs = now.getElementById("nav-pending");
    const mine = document.getElementById("nav-pending");
    if (!theirs || !mine) return;
    const before = Number(mine.dataset.count);
    const after = Number(theirs.dataset.count);
    mine.replaceWith(theirs);
    document.title = now.title;
    if (after > before) announce.textContent = `${after} waiting for approval`;
  };

  document.body.addEventListener("htmx:beforeSwap", (event) => {
    if (event.detail.xhr.status === 200) count(event.detail.xhr.responseText);
    keep(event.detail.target);
  });
  document.body.addEventListener("htmx:afterSwap", restore);

  // A second click sends nothing twice.
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.dataset.sent) event.preventDefault();
    form.dataset.sent = "yes";
  });
  window.addEventListener("pageshow", () => {
    document.querySelectorAll("form[data-sent]").forEach((form) => delete form.dataset.sent);
  });

  connect();
})();
