import { SlimGoError } from '../errors';
import type { BinaryHeader } from './binary';
import type { ResolvedBuild } from './build';
import { type GoCall, runGo, tagFlags } from './toolchain';

interface Package {
  readonly ImportPath: string;
  readonly Standard?: boolean;
  readonly Imports?: readonly string[];
  readonly CgoFiles?: readonly string[];
}

/** Says why a binary needs a dynamic loader: which package pulled cgo in, by which imports, and what to do about it. */
export async function explainDynamic(
  build: ResolvedBuild,
  pattern: string,
  { interpreter, needed }: BinaryHeader,
  call: GoCall,
): Promise<SlimGoError> {
  const list = ['list', '-deps', '-e', '-json=ImportPath,Standard,Imports,CgoFiles', ...tagFlags(build.tags), pattern];
  const { stdout } = await runGo(list, call);
  // A stream of objects, one after the other.
  const packages = JSON.parse(`[${stdout.trim().replace(/^\}\s*^\{/gm, '},{')}]`) as Package[];
  const chains = cgoChains(packages);

  const what = [
    ...(interpreter === undefined ? [] : [`the loader ${interpreter}`]),
    ...(needed.length === 0 ? [] : [needed.join(', ')]),
  ].join(' and ');
  const message = `${pattern} is not static: it needs ${what}, and an image from scratch has neither.`;
  if (chains.length === 0) {
    return new SlimGoError('BINARY_NOT_STATIC', message, {
      hint: 'No package uses cgo: look for -buildmode=pie or -linkmode=external in args, ldflags and GOFLAGS.',
    });
  }
  const onlyStandard = chains.every((chain) => chain.isStandard);
  return new SlimGoError(
    'BINARY_NOT_STATIC',
    `${message}\n${chains.map(({ path }) => `  cgo comes in by ${path.join(' -> ')}`).join('\n')}`,
    {
      hint: [
        'Leave the option cgo at false (CGO_ENABLED=0)' +
          (onlyStandard ? ': the standard library does not need it.' : '.'),
        'Or keep cgo and link statically: "buildTags": ["netgo", "osusergo"], "ldflags": "-linkmode=external -extldflags=-static" (with a static libc: musl, or glibc\'s libc.a).',
        'Or start the Dockerfile from a base that has the libraries.',
      ].join('\n'),
    },
  );
}

/** For each package with cgo the shortest way of imports to it; first those outside the standard library. */
function cgoChains(packages: readonly Package[]): { path: string[]; isStandard: boolean }[] {
  const byPath = new Map(packages.map((one) => [one.ImportPath, one]));
  // `go list -deps` prints a package after those that it imports: the last is the program.
  const main = packages.at(-1);
  if (main === undefined) return [];
  const ways = new Map([[main.ImportPath, [main.ImportPath]]]);
  for (const [path, way] of ways) {
    for (const next of byPath.get(path)?.Imports ?? []) if (!ways.has(next)) ways.set(next, [...way, next]);
  }
  return packages
    .filter(({ ImportPath, CgoFiles }) => (CgoFiles?.length ?? 0) > 0 && ImportPath !== 'runtime/cgo')
    .map(({ ImportPath, Standard }) => ({ path: ways.get(ImportPath) ?? [ImportPath], isStandard: Standard === true }))
    .sort((a, b) => Number(a.isStandard) - Number(b.isStandard));
}
