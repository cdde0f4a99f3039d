import type { TestedPackage } from './test-report';

/**
 * A JUnit report: a suite for each package, a case for each test and subtest; one with the package's name for a package that
 * did not build or failed by itself. https://github.com/testmoapp/junitxml
 */
export function junit(packages: readonly TestedPackage[]): string {
  const suites = packages.map((pkg) => {
    const cases = pkg.tests
      .filter(({ verdict }) => verdict !== undefined)
      .map(({ name, verdict, seconds, output }) => testCase(pkg.name, name, seconds, verdict, output));
    const failed = pkg.tests.filter(({ verdict }) => verdict === 'fail').length;
    const alone = pkg.verdict === 'fail' && failed === 0;
    if (alone) cases.push(testCase(pkg.name, pkg.name, pkg.seconds, 'fail', (pkg.buildOutput ?? pkg.text) + pkg.line));
    const counts = {
      name: pkg.name,
      tests: cases.length,
      failures: failed + (alone ? 1 : 0),
      skipped: pkg.tests.filter(({ verdict }) => verdict === 'skip').length,
      time: pkg.seconds.toFixed(3),
    };
    return element('testsuite', counts, cases);
  });
  return `<?xml version="1.0" encoding="UTF-8"?>\n${element('testsuites', {}, suites)}`;
}

function testCase(classname: string, name: string, seconds: number, verdict: string | undefined, output: string) {
  const tag = { fail: 'failure', skip: 'skipped' }[verdict ?? ''];
  const place = /^\s*(\S+\.go:\d+:.*)$/m.exec(output)?.[1] ?? name;
  const content = tag === undefined ? [] : [element(tag, { message: place }, [escaped(output)])];
  return element('testcase', { classname, name, time: seconds.toFixed(3) }, content);
}

function element(name: string, attributes: Readonly<Record<string, string | number>>, content: readonly string[]) {
  const written = Object.entries(attributes).map(([key, value]) => ` ${key}="${escaped(String(value))}"`);
  return `<${name}${written.join('')}>${content.join('')}</${name}>\n`;
}

/** Text for XML 1.0, which has no way to write most control characters. https://www.w3.org/TR/xml/#charsets */
function escaped(text: string): string {
  const entities: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };
  return (
    text
      // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
      .replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/g, '\ufffd')
      .replace(/[&<>"]/g, (character) => entities[character]!)
  );
}
