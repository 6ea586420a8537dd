// Walks through the dashboard with Chromium: see scripts/browser.
//
// URL: the server. CODES: three one-time codes of administrators. PROTOS: the folder of the protos. SHOTS: where screenshots go. ROUNDS and PHONE: the
// program and an enrolled device's store, to record something while a page is open.
import { execFileSync } from "node:child_process";
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { join } from "node:path";

const require = createRequire(join(process.cwd(), "package.json"));
const { chromium } = require("playwright-core");
const protobuf = require("protobufjs");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

const { URL: base, SHOTS: shots, ROUNDS: rounds, PHONE: phone, PROTOS: protos } = process.env;
const [code, spare, script] = process.env.CODES.split(" ");
const languages = ["en", "zh-Hans", "zh-Hant"];
const widths = [360, 1440];
const schemes = ["light", "dark"];
const only = process.env.ONLY ? new RegExp(process.env.ONLY) : /./;

const faults = [];
const fault = (where, what) => { faults.push(`${where}: ${what}`); console.error(`FAULT ${where}: ${what}`); };

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"],
});

// A page that reports what goes wrong on it.
const open = async (context, name) => {
  const page = await context.newPage();
  page.where = name;
  page.refused = new Set(); // statuses that are meant to come
  page.on("console", (message) => {
    const isMeant = message.text().includes("status of") && [...page.refused].some((it) => message.text().includes(it));
    if (["error", "warning"].includes(message.type()) && !isMeant) fault(page.where, `console: ${message.text()}`);
  });
  page.on("pageerror", (error) => fault(page.where, `script: ${error.message}`));
  return page;
};

const signIn = async (page, with_code) => {
  await page.goto(base);
  await page.fill("#code", with_code);
  await page.click("button.primary");
  await page.waitForSelector("nav");
};

// axe comes in by the debugger, which the page's policy does not bind.
const check = async (page) => {
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() =>
    globalThis.axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] }));
  for (const violation of violations) {
    const where = violation.nodes.slice(0, 3).map((node) => `${node.target.join(" ")} (${node.failureSummary})`);
    fault(page.where, `axe ${violation.id}: ${where.join(" | ")}`);
  }
  const [wide, window] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
  if (wide > window) fault(page.where, `is ${wide} px wide in a window of ${window} px`);
};

const shoot = (page, name) => page.screenshot({ path: join(shots, `${name}.png`), fullPage: true });

// The pages, and those that only the data leads to.
const context = await browser.newContext({ locale: "en-GB" });
const first = await open(context, "sign-in");
await first.goto(base);
await check(first);
first.refused.add("422");
await first.fill("#code", "WRONG");
await first.click("button.primary");
await first.waitForSelector("[role=alert]");
await check(first);
await shoot(first, "sign-in-refused");
await signIn(first, code);
const links = (selector) => first.$$eval(selector, (all) => all.map((one) => one.getAttribute("href")));
const pages = {
  overview: "/",
  overview_month: "/?period=month",
  follow_ups: "/follow-ups",
  follow_ups_week: "/follow-ups?view=week&show=all",
  referrals: "/referrals",
  conflicts: "/conflicts",
  quarantine: "/quarantine",
  devices: "/devices",
  enrol: "/devices/enrol",
  jobs: "/jobs",
};
const follow = async (name, from, selector) => {
  await first.goto(base + from);
  const [href] = await links(selector);
  if (href) pages[name] = href; else fault(name, `no link to one on ${from}`);
};
await follow("follow_up", "/follow-ups?show=all", "main .list th a");
await follow("asset", "/follow-ups?show=all", "main .list td a");
await follow("request", "/referrals", "main .list th a");
await follow("disputed", "/conflicts", "main h2 a");
await follow("quarantined", "/quarantine", "main .list th a");
await follow("community", "/", ".chooser .deep-2 a");
await follow("behind", "/?period=month", ".figures a");
const cookies = await context.cookies();

for (const language of languages) {
  for (const width of widths) {
    for (const scheme of schemes) {
      const context = await browser.newContext({
        viewport: { width, height: width < 500 ? 780 : 900 },
        colorScheme: scheme,
        locale: { en: "en-GB", "zh-Hans": "zh-CN", "zh-Hant": "zh-TW" }[language],
      });
      const door = await open(context, `sign-in ${language} ${width} ${scheme}`);
      await door.goto(base);
      await check(door);
      await shoot(door, `sign-in-${language}-${width}-${scheme}`);
      await context.addCookies(cookies);
      for (const [name, path] of Object.entries(pages)) {
        if (!only.test(name)) continue;
        door.where = `${name} ${language} ${width} ${scheme}`;
        await door.goto(base + path);
        const said = await door.getAttribute("html", "lang");
        if (said !== language) fault(door.where, `is in ${said}`);
        await check(door);
        await shoot(door, `${name}-${language}-${width}-${scheme}`);
      }
      if (width > 1000) {
        door.where = `chooser ${language} ${scheme}`;
        await door.goto(base);
        await door.click(".chooser summary");
        await check(door);
        await shoot(door, `chooser-${language}-${width}-${scheme}`);
        door.where = `code ${language} ${scheme}`;
        await door.goto(`${base}/devices/enrol`);
        await door.check(".checks input >> nth=0");
        await door.click("main button.primary");
        await door.waitForSelector(".qr svg");
        if ((await door.textContent("#live")) !== "") fault(door.where, "a code that is shown once would be swapped away");
        await check(door);
        await shoot(door, `code-${language}-${width}-${scheme}`);
      }
      await context.close();
    }
  }
}

// Keyboard: the first Tab leads to the skip link, and that past the navigation.
first.where = "keyboard";
await first.goto(`${base}/follow-ups`);
await first.keyboard.press("Tab");
if ((await first.evaluate(() => document.activeElement.className)) !== "skip") fault("keyboard", "no skip link");
await first.keyboard.press("Enter");
if (!(await first.evaluate(() => document.querySelector("#main:focus, #main :focus") !== null || location.hash === "#main"))) {
  fault("keyboard", "the skip link leads nowhere");
}

// Live: what a phone syncs changes an open page by itself, but not a form that somebody fills in.
const live = async (name, before, isExpected) => {
  first.where = name;
  await before();
  const at = await first.getAttribute("#main", "data-at");
  const places = execFileSync(rounds, ["device", "--store", phone, "list", "dwelling"], { encoding: "utf8" });
  const [dwelling] = places.match(/[0-9a-f]{8}-[0-9a-f-]{27}/) ?? [];
  if (!dwelling) { fault(name, `no dwelling in: ${places}`); return; }
  execFileSync(rounds, ["device", "--store", phone, "visit", dwelling, "--purpose", "routine", "--outcome", "met"]);
  execFileSync(rounds, ["device", "--store", phone, "sync"]);
  const synced = Date.now();
  await isExpected(at, synced).catch((error) => fault(name, error.message));
};
await live("live", async () => {
  await first.goto(base);
  await first.waitForFunction(() => document.getElementById("live").textContent === document.getElementById("live").dataset.live);
}, async (at, synced) => {
  await first.waitForFunction((at) => document.getElementById("main").dataset.at !== at, at, { timeout: 10000 });
  const took = Date.now() - synced;
  console.log(`an open page is fresh ${took} ms after the sync`);
  if (took > 2000) fault("live", `only after ${took} ms`);
});
await live("typing", async () => {
  await first.goto(`${base}/devices/enrol`);
  await first.waitForFunction(() => document.getElementById("live").textContent === document.getElementById("live").dataset.live);
  await first.check(".checks input >> nth=0");
}, async (at) => {
  await first.waitForFunction(() => document.getElementById("live").textContent === document.getElementById("live").dataset.news, null, { timeout: 10000 });
  if (!(await first.isChecked(".checks input >> nth=0"))) fault("typing", "what was entered is gone");
  if ((await first.getAttribute("#main", "data-at")) !== at) fault("typing", "the form was replaced");
});

// A script of a page speaks gRPC-web.
first.where = "gRPC-web";
const schema = new protobuf.Root();
schema.resolvePath = (_, target) => (target.startsWith("google/") ? target : join(protos, target));
schema.loadSync(["rounds/v1/device.proto", "rounds/v1/summary.proto"], { keepCase: true });
const ask = async (method, request, answer, message, token = "") => {
  const bytes = schema.lookupType(`rounds.v1.${request}`).encode(message).finish();
  const told = await first.evaluate(async ([method, bytes, token]) => {
    const frame = new Uint8Array(5 + bytes.length);
    new DataView(frame.buffer).setUint32(1, bytes.length);
    frame.set(bytes, 5);
    const headers = { "content-type": "application/grpc-web+proto", ...(token && { authorization: `Bearer ${token}` }) };
    const answer = await fetch(`/rounds.v1.${method}`, { method: "POST", headers, body: frame });
    return [...new Uint8Array(await answer.arrayBuffer())];
  }, [method, [...bytes], token]);
  const size = new DataView(Uint8Array.from(told).buffer).getUint32(1);
  return schema.lookupType(`rounds.v1.${answer}`).decode(Uint8Array.from(told.slice(5, 5 + size)));
};
try {
  const { token } = await ask("DeviceService/Enrol", "EnrolRequest", "EnrolResponse", { code: script, label: "Script" });
  const scope = { period: "month" };
  const { summary } = await ask("SummaryService/Summarize", "SummarizeRequest", "SummarizeResponse", { scope }, token);
  await first.goto(`${base}/?period=month`);
  const shown = (await first.textContent(".figures a[aria-label^='Visits:']")).replace(/\D/g, "");
  const visits = summary.figures.find((figure) => figure.name === "visit")?.value;
  if (!visits || String(visits) !== shown) fault(first.where, `${visits} visits, and ${shown} on the page`);
} catch (error) {
  fault(first.where, error.message);
}

// Without script everything works, too.
const plain = await browser.newContext({ javaScriptEnabled: false });
const still = await open(plain, "without script");
await signIn(still, spare);
await still.click("nav a[href='/devices']");
await still.waitForSelector("table.list");
await still.click("button[value='zh-Hant']");
await still.waitForSelector("html[lang='zh-Hant']");
await still.click(".who button");
await still.waitForSelector("#code");

// Signing out ends it everywhere.
first.where = "sign-out";
await first.goto(base);
await first.click(".who button");
await first.waitForSelector("#code");
first.refused.add("401");
const answer = await first.goto(`${base}/jobs`);
if (answer.status() !== 401) fault("sign-out", `/jobs answers ${answer.status()}`);

await browser.close();
console.log(faults.length ? `${faults.length} faults` : "ok");
process.exit(faults.length ? 1 : 0);
