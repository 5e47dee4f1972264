/* Draws the charts that Altair leaves in a page with the site's own copy of Vega.
 *
 * Altair's inline script fetches three libraries from a CDN unless VEGA_DEBUG
 * (vendor/vega-versions.js) names the versions it wants, and then calls the global
 * `vegaEmbed`.  Here that is a stand-in: it loads the bundle on pages with a chart
 * only, draws what is near the viewport first and the rest when the browser is idle,
 * so that a printed page has every chart.
 */
(() => {
  "use strict";
  const bundleUrl = new URL("vendor/vega-bundle.js", document.currentScript.src).href;
  const text = "currentColor";
  const faint = "rgba(128,128,128,0.25)";
  const labels = { labelColor: text, titleColor: text };
  const pageColours = {
    background: "transparent",
    axis: { ...labels, domainColor: faint, tickColor: faint, gridColor: faint },
    legend: labels,
    header: labels,
    text: { color: text },
    title: { color: text, subtitleColor: text },
  };

  /* The page's colours win over those of the spec, which suit both themes less well. */
  const merge = (low, high) => {
    const out = { ...low };
    for (const [key, value] of Object.entries(high)) {
      const both = out[key] && typeof out[key] === "object" && typeof value === "object";
      out[key] = both ? merge(out[key], value) : value;
    }
    return out;
  };

  let bundle;
  const library = () => {
    bundle ??= new Promise((resolve, reject) => {
      const script = document.createElement("script");
      script.src = bundleUrl;
      script.onload = () => resolve(window.handtrajVega.vegaEmbed);
      script.onerror = () => reject(new Error(`could not load ${bundleUrl}`));
      document.head.append(script);
    });
    return bundle;
  };

  const whenIdle = (run) =>
    window.requestIdleCallback ? requestIdleCallback(run, { timeout: 4000 }) : setTimeout(run, 300);
  let queue = new Promise((resolve) => window.addEventListener("load", resolve, { once: true }));

  /* Resolves when the element comes near the viewport, or when its turn has come. */
  const turnOf = (element) =>
    new Promise((resolve) => {
      const watcher = new IntersectionObserver(
        (entries) => {
          if (entries.some((entry) => entry.isIntersecting)) {
            watcher.disconnect();
            resolve();
          }
        },
        { rootMargin: "600px" },
      );
      watcher.observe(element);
      queue = queue.then(
        () =>
          new Promise((next) =>
            whenIdle(() => {
              // A chart in a closed fold has no width yet: it waits until it is shown.
              if (element.offsetParent) {
                watcher.disconnect();
                resolve();
              }
              next();
            }),
          ),
      );
    });

  // Charts measure their column when the window changes, which may be before the page
  // has found its new layout: let them measure once more when it has.
  let settled;
  window.addEventListener("resize", (event) => {
    if (!event.isTrusted) return;
    clearTimeout(settled);
    settled = setTimeout(() => window.dispatchEvent(new Event("resize")), 250);
  });

  window.vegaEmbed = async (target, spec, options = {}) => {
    const element = typeof target === "string" ? document.querySelector(target) : target;
    await turnOf(element);
    const embed = await library();
    const coloured = { ...spec, config: merge(spec.config ?? {}, pageColours) };
    const result = await embed(element, coloured, {
      ...options,
      mode: "vega-lite",
      renderer: "svg",
      actions: false,
    });
    element.dataset.drawn = "true";
    return result;
  };
})();
