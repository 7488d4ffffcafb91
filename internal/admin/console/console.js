// Keeps the page live: fetches its sections again every second and replaces
// those that changed. Without it the page is as true as when it was loaded.
"use strict";
(() => {
  const every = 1000, limit = 5000;
  const main = document.querySelector("main[data-refresh]");
  const news = document.getElementById("connection");
  let timer = 0, busy = false, since = null;

  // What a person is doing in a section outlives its replacement: opened
  // details, the focus. A section with selected text in it is left alone.
  function replace(old, fresh) {
    const chosen = getSelection();
    if (!chosen.isCollapsed && chosen.rangeCount > 0 && chosen.getRangeAt(0).intersectsNode(old)) return;
    for (const d of old.querySelectorAll("details[open]")) {
      const same = fresh.querySelector(`details[data-key="${CSS.escape(d.dataset.key)}"]`);
      if (same) same.open = true;
    }
    if (old.outerHTML === fresh.outerHTML) return;
    const focus = old.contains(document.activeElement) ? [...old.querySelectorAll("a, summary, pre, button")].indexOf(document.activeElement) : -1;
    old.replaceWith(fresh);
    if (focus >= 0) fresh.querySelectorAll("a, summary, pre, button")[focus]?.focus({ preventScroll: true });
  }

  function tell(text) {
    if (news.textContent !== text) news.textContent = text;
    document.body.classList.toggle("stale", text !== "");
  }

  async function refresh() {
    if (busy || document.hidden) return;
    busy = true;
    try {
      const answer = await fetch(main.dataset.refresh, { cache: "no-store", signal: AbortSignal.timeout(limit) });
      if (!answer.ok && answer.status !== 404) throw new Error(answer.statusText);
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      for (const fresh of page.querySelectorAll("section[id]")) {
        const old = document.getElementById(fresh.id);
        if (old) replace(old, document.adoptNode(fresh));
      }
      document.title = main.querySelector("[data-title]").dataset.title;
      since = null;
      tell("");
    } catch {
      since ??= new Date();
      tell(`No answer since ${since.toLocaleTimeString()}`);
    } finally {
      busy = false;
      clearTimeout(timer);
      if (!document.hidden) timer = setTimeout(refresh, every);
    }
  }

  if (!main) return;
  document.addEventListener("visibilitychange", refresh);
  timer = setTimeout(refresh, every);
})();
