//! That everyone can use the page: by eye, by ear, by keyboard, on any screen.

use serde_json::Value;

use super::{Browser, SCREENS, picture, send_some_webhooks, url};
use crate::support::{Launch, Smscope};

#[test]
fn it_fits_every_screen_in_both_schemes() {
    let Some(mut browser) = Browser::start() else { return };
    let empty = Smscope::start();
    let busy = Launch::new().env("SMSCOPE_STORE_SIZE_LIMIT", "10MiB").start();
    send_some_webhooks(&busy);
    for (name, smscope) in [("empty", &empty), ("busy", &busy)] {
        for screen in SCREENS {
            browser.look_through(screen);
            browser.open(&url(smscope));
            let case = format!("{name}-{}-{}", screen.width, screen.scheme);
            browser.picture(&picture(&case));
            let wider = browser.evaluate(
                "[...document.querySelectorAll('body *')].filter(e => !e.closest('.spoken, caption, .symbols, thead') && \
                 e.getBoundingClientRect().right > innerWidth + 1).map(e => e.outerHTML.slice(0, 80)).join('\\n')",
            );
            assert_eq!(wider, "", "{case}");
            assert_eq!(browser.evaluate("document.documentElement.scrollWidth"), screen.width, "{case}");
            let ground = browser.evaluate("getComputedStyle(document.documentElement).backgroundColor");
            let expected = if screen.scheme == "dark" { "rgb(15, 18, 21)" } else { "rgb(245, 246, 247)" };
            assert_eq!(ground, expected, "{case}");
        }
    }
}

#[test]
fn millions_have_room_on_a_phone() {
    let Some(mut browser) = Browser::start() else { return };
    let smscope = Smscope::start();
    send_some_webhooks(&smscope);
    for screen in [SCREENS[1], SCREENS[3]] {
        browser.look_through(screen);
        browser.open(&url(&smscope));
        browser.evaluate(
            "document.querySelectorAll('dd data, td data').forEach(count => count.textContent = '88,888,888')",
        );
        browser.picture(&picture(&format!("millions-{}", screen.width)));
        let cut =
            "[...document.querySelectorAll('dd, td, dl, table')].filter(e => e.scrollWidth > e.clientWidth).length";
        assert_eq!(browser.evaluate(cut), 0);
        assert_eq!(browser.evaluate("document.documentElement.scrollWidth"), screen.width);
    }
}

#[test]
fn headings_and_landmarks_are_in_order_and_tables_have_captions() {
    let Some(mut browser) = Browser::start() else { return };
    let smscope = Smscope::start();
    send_some_webhooks(&smscope);
    browser.open(&url(&smscope));
    let headings =
        browser.evaluate("[...document.querySelectorAll('h1,h2,h3,h4,h5,h6')].map(h => h.tagName + ' ' + h.innerText)");
    let expected = [
        "H1 smscope",
        "H2 Now",
        "H2 Messages",
        "H2 Failures by reason",
        "H2 Export and store",
        "H2 Sources",
        "H2 Last events",
    ];
    assert_eq!(headings, serde_json::json!(expected));
    for (what, wrong) in [
        ("a table without a caption", "table:not(:has(> caption))"),
        ("a header cell without a scope", "th:not([scope])"),
        ("a row without a header", "tbody tr:not(:has(> th))"),
        ("a picture that is read out", "svg:not([aria-hidden])"),
        ("a section without a name", "section:not([aria-labelledby])"),
        ("an id that is used twice", "#events #events"),
    ] {
        assert_eq!(browser.evaluate(&format!("document.querySelectorAll('{wrong}').length")), 0, "{what}");
    }
    let ids = browser
        .evaluate("(ids => ids.length - new Set(ids).size)([...document.querySelectorAll('[id]')].map(e => e.id))");
    assert_eq!(ids, 0, "ids that are used twice");
    assert_eq!(browser.evaluate("document.documentElement.lang"), "en");
    assert_eq!(
        browser.evaluate("document.querySelector('[aria-live=polite]').innerText"),
        "41 delivered, 5 failed, 5 pending."
    );
}

/// On a phone the cells of some tables stand under each other, and are cells all the same.
#[test]
fn assistive_technology_finds_the_same_on_a_phone_as_on_a_desk() {
    let Some(mut browser) = Browser::start() else { return };
    let smscope = Smscope::start();
    send_some_webhooks(&smscope);
    let mut seen = Vec::new();
    for screen in [SCREENS[0], SCREENS[2]] {
        browser.look_through(screen);
        browser.open(&url(&smscope));
        let tree = browser.accessibility();
        let roles = |role: &str| {
            let is = |node: &&Value| node["role"]["value"] == role && node["ignored"] == false;
            tree.iter().filter(is).count()
        };
        for (landmark, count) in [("banner", 1), ("main", 1), ("contentinfo", 1), ("navigation", 1), ("region", 6)] {
            assert_eq!(roles(landmark), count, "{landmark}");
        }
        seen.push(["table", "row", "columnheader", "rowheader", "cell"].map(roles));
    }
    assert_eq!(seen[0], seen[1]);
    assert_eq!(seen[0][0], 4, "{seen:?}");
}

#[test]
fn the_keyboard_reaches_every_link_and_shows_where_it_is() {
    let Some(mut browser) = Browser::start() else { return };
    let smscope = Smscope::start();
    browser.look_through(SCREENS[2]);
    browser.open(&url(&smscope));
    let mut reached = Vec::new();
    for _ in 0..4 {
        browser.press("Tab", 9);
        assert_eq!(browser.evaluate("getComputedStyle(document.activeElement).outlineStyle"), "solid");
        assert_eq!(browser.evaluate("document.activeElement.getBoundingClientRect().top >= 0"), true);
        reached.push(browser.evaluate("document.activeElement.innerText").as_str().unwrap().to_owned());
    }
    assert_eq!(reached, ["Skip to the figures", "/metrics", "/readyz", "/livez"]);
}

#[test]
fn nothing_moves() {
    let Some(mut browser) = Browser::start() else { return };
    let smscope = Smscope::start();
    browser.open(&url(&smscope));
    assert_eq!(browser.evaluate("document.getAnimations().length"), 0);
    let moving = "[...document.querySelectorAll('*')].filter(e => (s => s.animationName !== 'none' || \
                  s.transitionDuration !== '0s')(getComputedStyle(e))).length";
    assert_eq!(browser.evaluate(moving), 0);
}
