// Keeps the page up to date: when the server says that something moved, the same page is read again and its content
// takes the place of the old one, unless somebody is filling in a form. Without this script everything works, too.
"use strict";
(() => {
  const status = document.getElementById("live");
  let source = null;
  let timer = 0;
  let isStale = false;
  let isReading = false;
  let isTouched = false; // something was entered on this page

  const main = () => document.getElementById("main");
  const say = (what) => { status.textContent = status.dataset[what]; };

  const isBusy = () => {
    const focused = document.activeElement;
    return isTouched || (main().contains(focused) && focused.matches("input, textarea, select"));
  };

  // What a person can point at again on the new page.
  const pointer = (element) => {
    if (!element || !main().contains(element)) return null;
    if (element.id) return `#${CSS.escape(element.id)}`;
    const href = element.getAttribute("href");
    return href ? `main a[href="${CSS.escape(href)}"]` : null;
  };

  const swap = async () => {
    if (isBusy()) { isStale = true; say("news"); return; }
    if (isReading) { isStale = true; return; }
    isReading = true;
    isStale = false;
    try {
      const answer = await fetch(location.href, { cache: "no-store", headers: { accept: "text/html" } });
      if (answer.status === 401 || answer.redirected) { location.reload(); return; }
      if (!answer.ok) { say("lost"); return; }
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const fresh = page.getElementById("main");
      if (!fresh) { location.reload(); return; }
      if (isBusy()) { isStale = true; say("news"); return; }
      const open = [...main().querySelectorAll("details[open][id]")].map((details) => details.id);
      const focused = pointer(document.activeElement);
      main().replaceWith(fresh);
      for (const id of open) document.getElementById(id)?.setAttribute("open", "");
      if (focused) document.querySelector(focused)?.focus({ preventScroll: true });
      document.title = page.title;
      say("live");
    } catch {
      say("lost");
    } finally {
      isReading = false;
    }
    if (isStale && !isBusy()) swap();
  };

  const connect = () => {
    clearTimeout(timer);
    // What a form was answered with, such as a code that is shown once, is not there a second time.
    if (source || document.hidden || "still" in main().dataset) return;
    source = new EventSource(`/live?at=${main().dataset.at}`);
    source.addEventListener("open", () => say(isStale ? "news" : "live"));
    source.addEventListener("moved", swap);
    source.addEventListener("error", () => {
      say("lost");
      // A refusal ends it for good: look whether we are still signed in, and try again.
      if (source?.readyState !== EventSource.CLOSED) return;
      disconnect();
      timer = setTimeout(async () => { await swap(); connect(); }, 5000);
    });
  };

  const disconnect = () => {
    clearTimeout(timer);
    source?.close();
    source = null;
  };

  // A browser has few connections to a server: tabs that nobody sees leave theirs to others.
  document.addEventListener("visibilitychange", () => (document.hidden ? disconnect() : connect()));
  window.addEventListener("pagehide", disconnect);
  window.addEventListener("pageshow", connect);
  document.addEventListener("input", (event) => { if (main().contains(event.target)) isTouched = true; });
  document.addEventListener("reset", () => { isTouched = false; });
  document.addEventListener("focusout", () => setTimeout(() => { if (isStale) swap(); }, 0));
  connect();
})();
