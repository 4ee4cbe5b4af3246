// Looks at pages with Debian's Chromium. `live URL`: tells what the page says each time that it says something else, until standard input ends.
// `load URL…`: tells for each its status and title, or that it failed.
const { chromium } = require('playwright-core');

const live = async (page, url) => {
    await page.exposeFunction('tell', (said) => console.log(said));
    await page.goto(url);
    await page.evaluate(() => {
        let last = '';
        const look = () => {
            const said = document.querySelector('#said').textContent;
            if (said && said !== last) tell(last = said);
        };
        new MutationObserver(look).observe(document.body, { childList: true, subtree: true, characterData: true });
        look();
    });
    // A change of a module that nothing accepts loads the page again. One that loads while all ends has nobody to tell.
    page.on('load', () => page.evaluate(() => tell(document.querySelector('#said').textContent)).catch(() => {}));
    await new Promise((resolve) => process.stdin.resume().on('end', resolve));
};

const load = async (page, urls) => {
    for (const url of urls) {
        try {
            const answer = await page.goto(url, { timeout: 60000 });
            console.log(answer.status(), await page.title());
        } catch (error) {
            console.log('failed', error.message.split('\n')[0]);
        }
    }
};

(async () => {
    const browser = await chromium.launch({ executablePath: '/usr/bin/chromium' });
    const page = await browser.newPage();
    const [way, ...urls] = process.argv.slice(2);
    await (way === 'live' ? live(page, urls[0]) : load(page, urls));
    await browser.close();
})().catch((error) => { console.error(error); process.exit(1); });
