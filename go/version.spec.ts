import { compareVersions } from './version';

it('orders versions as the specification does', () => {
  const ordered = [
    'v0.0.0-20200101000000-abcdefabcdef',
    'v1.0.0-alpha',
    'v1.0.0-alpha.1',
    'v1.0.0-alpha.beta',
    'v1.0.0-beta.2',
    'v1.0.0-beta.11',
    'v1.0.0',
    'v1.9.0',
    'v1.10.0+incompatible',
    'v2.0.0',
  ];
  for (let index = 1; index < ordered.length; index++) {
    expect(compareVersions(ordered[index - 1]!, ordered[index]!)).toBeLessThan(0);
    expect(compareVersions(ordered[index]!, ordered[index - 1]!)).toBeGreaterThan(0);
  }
  expect(compareVersions('v1.0.0', 'v1.0.0+incompatible')).toBe(0);
});
