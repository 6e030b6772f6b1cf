(() => {
  const pause = 5000, quiet = 60000;
  let timer, asking, asked = Date.now(), spoken = asked;

  // Changes what differs and leaves the rest alone: focus, selection and scroll positions stay.
  const follow = (old, fresh) => {
    if (old.isEqualNode(fresh)) return;
    if (old.nodeName !== fresh.nodeName) return old.replaceWith(document.importNode(fresh, true));
    if (old.nodeType !== 1) { old.data = fresh.data; return; }
    if (old.hasAttribute("aria-live")) {
      if (Date.now() - spoken < quiet) return;
      spoken = Date.now();
    }
    for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name)) old.removeAttribute(name);
    for (const { name, value } of fresh.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    const before = [...old.childNodes], after = [...fresh.childNodes];
    before.slice(after.length).forEach(node => node.remove());
    after.forEach((node, i) => before[i] ? follow(before[i], node) : old.append(document.importNode(node, true)));
  };

  const refresh = async () => {
    clearTimeout(timer);
    if (document.hidden || asking) return;
    asking = true;
    asked = Date.now();
    try {
      const answer = await fetch("figures", { signal: AbortSignal.timeout(pause) });
      if (!answer.ok) throw answer.status;
      const fresh = new DOMParser().parseFromString("<main>" + await answer.text(), "text/html").querySelector("main");
      const main = document.querySelector("main");
      for (const { name, value } of main.attributes) fresh.setAttribute(name, value);
      follow(main, fresh);
    } catch {
      document.getElementById("refresh").textContent = ". smscope does not answer.";
    }
    asking = false;
    timer = setTimeout(refresh, pause);
  };

  document.addEventListener("visibilitychange", () => {
    clearTimeout(timer);
    timer = setTimeout(refresh, Math.max(0, asked + pause - Date.now()));
  });
  timer = setTimeout(refresh, pause);
})();
