/**
 * Below, above or 0 as semantic versions are ordered. https://semver.org/#spec-item-11
 * `+incompatible` doesn't count: https://go.dev/ref/mod#versions
 */
export function compareVersions(a: string, b: string): number {
  const [left, right] = [splitVersion(a), splitVersion(b)];
  return (
    compareIdentifiers(left.core, right.core) ||
    // A pre-release stands before its release.
    Number(right.pre.length > 0) - Number(left.pre.length > 0) ||
    compareIdentifiers(left.pre, right.pre)
  );
}

function splitVersion(version: string): { readonly core: readonly string[]; readonly pre: readonly string[] } {
  const [, core = '', pre] = /^v?([^-+]*)(?:-([^+]*))?/.exec(version) ?? [];
  return { core: core.split('.'), pre: pre === undefined ? [] : pre.split('.') };
}

function compareIdentifiers(a: readonly string[], b: readonly string[]): number {
  for (let index = 0; index < Math.max(a.length, b.length); index++) {
    const [left, right] = [a[index], b[index]];
    if (left === undefined || right === undefined) return left === undefined ? -1 : 1;
    if (left === right) continue;
    const [leftIsNumber, rightIsNumber] = [/^\d+$/.test(left), /^\d+$/.test(right)];
    if (leftIsNumber && rightIsNumber) return BigInt(left) < BigInt(right) ? -1 : 1;
    if (leftIsNumber !== rightIsNumber) return leftIsNumber ? -1 : 1;
    return left < right ? -1 : 1;
  }
  return 0;
}
