import { readBinary } from './binary';
import type { Call } from './machine-code';
import { type FileRange, type LinkedFunction, Program, packageOf } from './program';

/** Something outside of itself that a program calls for, by what its code says. */
export interface Need {
  /** `local-time` is a need only where TZ names a zone. */
  readonly kind: 'tls-roots' | 'time-zones' | 'local-time' | 'users' | 'temp-files' | 'programs';
  /** Import path of the package whose code calls. */
  readonly package: string;
  /** What it calls: `time.LoadLocation`. */
  readonly call: string;
  /** The constant that decides: the zone, the program, the user or the group. Undefined where it is none. */
  readonly argument: string | undefined;
}

interface Entry {
  readonly kind: Need['kind'] | 'http' | 'request' | 'look-path' | 'own-roots' | 'linked';
  /** Where the string that decides begins in the registers: it takes two, its address and its length. */
  readonly argument?: number;
}

const url = (argument: number): Entry => ({ kind: 'http', argument });

/**
 * Functions of the standard library that fail where a file is missing. With those that they are made of, for the compiler
 * puts the small ones into their callers.
 */
const entries: Readonly<Record<string, Entry>> = {
  'time.LoadLocation': { kind: 'time-zones', argument: 0 },
  'os.CreateTemp': { kind: 'temp-files', argument: 0 },
  'os.MkdirTemp': { kind: 'temp-files', argument: 0 },
  'os/exec.Command': { kind: 'programs', argument: 0 },
  'os/exec.CommandContext': { kind: 'programs', argument: 2 },
  'os/exec.LookPath': { kind: 'look-path', argument: 0 },
  'os/exec.lookPath': { kind: 'look-path', argument: 0 },
  'os/user.Current': { kind: 'users' },
  ...Object.fromEntries(
    ['User', 'UserId', 'Group', 'GroupId'].flatMap((name) => [
      [`os/user.Lookup${name.replace('User', '')}`, { kind: 'users', argument: 0 }],
      [`os/user.lookup${name}`, { kind: 'users', argument: 0 }],
    ]),
  ),
  'net/http.(*Client).Do': { kind: 'http' },
  'net/http.(*Client).do': { kind: 'http' },
  'net/http.(*Client).Get': url(1),
  'net/http.(*Client).Head': url(1),
  'net/http.(*Client).Post': url(1),
  'net/http.(*Client).PostForm': url(1),
  'net/http.Get': url(0),
  'net/http.Head': url(0),
  'net/http.Post': url(0),
  'net/http.PostForm': url(0),
  'net/http.NewRequest': { kind: 'request', argument: 2 },
  'net/http.NewRequestWithContext': { kind: 'request', argument: 4 },
  'net/http/httputil.NewSingleHostReverseProxy': { kind: 'http' },
  'crypto/tls.Client': { kind: 'tls-roots' },
  'crypto/tls.Dial': { kind: 'tls-roots' },
  'crypto/tls.DialWithDialer': { kind: 'tls-roots' },
  'crypto/tls.dial': { kind: 'tls-roots' },
  'crypto/tls.(*Dialer).Dial': { kind: 'tls-roots' },
  'crypto/tls.(*Dialer).DialContext': { kind: 'tls-roots' },
  'net/smtp.SendMail': { kind: 'tls-roots' },
  'net/smtp.(*Client).StartTLS': { kind: 'tls-roots' },
  'crypto/x509.(*CertPool).AppendCertsFromPEM': { kind: 'own-roots' },
  'crypto/x509.(*CertPool).AddCert': { kind: 'own-roots' },
  'crypto/x509.(*CertPool).addCertFunc': { kind: 'own-roots' },
  'crypto/x509.SetFallbackRoots': { kind: 'linked' },
  'time.initLocal': { kind: 'linked' },
};

const entryPackages = new Set(Object.keys(entries).map(packageOf));

const plainSchemes = ['http', 'ws', 'amqp', 'redis', 'ldap'];
const secureSchemes = plainSchemes.map((scheme) => `${scheme}s`);

/** A call of one of `entries` by code that is not the standard library's. */
interface Site extends Omit<Need, 'kind'> {
  readonly kind: Entry['kind'];
  /** The function that holds the instruction. */
  readonly caller: LinkedFunction;
  /** Of the module that is being built, not of one that it requires. */
  readonly isOwn: boolean;
}

/** Who writes text for people: an address in it is a link, not one to be connected to. */
const printers = /^(?:fmt\.(?:Fp|P)rint|log\.|log\/slog\.)/;
const deepest = 6;

/**
 * What a program calls for that an image may lack, as far as its code says so for certain. What it carries in itself (root
 * certificates of x509roots/fallback, zones of time/tzdata) is no need.
 *
 * Own code counts always. What another module's code calls counts only where a constant says that it will fail, and own
 * code calls that code: drivers and loggers ask for the user and go on without, or load zones if somebody names one.
 */
export function needsOf(program: Program): readonly Need[] {
  return new Reading(program).needs();
}

/** What an executable calls for: its dynamic loader, and where it is a Go program that can be read, its needs. */
export async function readNeeds(
  file: FileRange,
): Promise<{ readonly interpreter: string | undefined; readonly needs: readonly Need[] }> {
  const { interpreter } = await readBinary(file.path, file.offsetBytes);
  return { interpreter, needs: Program.use(file, needsOf) ?? [] };
}

class Reading {
  private readonly modules: ReadonlyMap<string, { readonly isOwn: boolean }>;
  /** By import path; the standard library's packages are not among them. */
  private readonly packages = new Map<string, LinkedFunction[]>();
  private readonly standard = new Set<string>();
  private readonly hasRoots: boolean;
  private readonly hasZones: boolean;
  private readonly usesLocalTime: boolean;
  private readonly printers = new Set<number>();
  private readonly sites: readonly Site[];
  private schemes: ReadonlyMap<number, string> | undefined;

  constructor(private readonly program: Program) {
    const { main, modules } = program.info;
    this.modules = new Map(
      [...modules, ...(main ? [{ ...main, version: '(devel)' }] : [])].map(({ path, version }) => [
        path,
        { isOwn: version === '(devel)' || version === '' },
      ]),
    );
    const targets = new Map<number, LinkedFunction>();
    let path: string | undefined;
    let isStandard = false;
    for (const one of program.functions) {
      // A package's functions stand together.
      if (one.package !== path) {
        path = one.package;
        isStandard = this.moduleOf(path) === undefined;
        if (isStandard) this.standard.add(path);
      }
      if (isStandard) {
        if (entryPackages.has(one.package) && one.name in entries) targets.set(one.entry, one);
        if (printers.test(one.name)) this.printers.add(one.entry);
      } else {
        const functions = this.packages.get(one.package);
        if (functions) functions.push(one);
        else this.packages.set(one.package, [one]);
      }
    }
    const has = (name: string) => [...targets.values()].some((one) => one.name === name);
    this.hasRoots = has('crypto/x509.SetFallbackRoots');
    this.hasZones = this.standard.has('time/tzdata');
    this.usesLocalTime = has('time.initLocal');
    this.sites = targets.size === 0 ? [] : this.findSites(targets);
  }

  needs(): readonly Need[] {
    const found = new Map<string, Need>();
    const looked = new Set(this.sites.filter(({ kind }) => kind === 'look-path').map(({ argument }) => argument));
    const counts = (site: Site): boolean => {
      const { kind, argument, isOwn } = site;
      switch (kind) {
        case 'time-zones':
          return (
            !this.hasZones &&
            (argument === undefined ? isOwn : !['', 'UTC', 'Local'].includes(argument) && this.isReached(site))
          );
        case 'temp-files':
          return argument === '' && this.isReached(site);
        case 'users':
          return isOwn;
        case 'programs':
          return isOwn && argument !== undefined && !looked.has(argument);
        default:
          return false;
      }
    };
    for (const site of [...this.sites.filter(counts), ...this.secureSites()]) {
      const kind = site.kind === 'http' || site.kind === 'request' ? 'tls-roots' : (site.kind as Need['kind']);
      const argument = kind === 'temp-files' || kind === 'tls-roots' ? undefined : site.argument;
      found.set([kind, site.package, site.call, argument].join(' '), {
        kind,
        package: site.package,
        call: site.call,
        argument,
      });
    }
    if (this.usesLocalTime && !this.hasZones) {
      const { path } = this.program.info;
      found.set('local-time', { kind: 'local-time', package: path, call: 'time.Local', argument: undefined });
    }
    return [...found.values()];
  }

  private findSites(targets: ReadonlyMap<number, LinkedFunction>): Site[] {
    const entryPoints = new Set(targets.keys());
    const sites: Site[] = [];
    for (const functions of this.packages.values()) {
      for (const caller of this.program.callers(functions, entryPoints)) {
        for (const call of this.program.code(caller).calls) {
          const target = targets.get(call.target);
          if (target) sites.push(this.describe(caller, call, target));
        }
      }
    }
    return sites;
  }

  private describe(caller: LinkedFunction, call: Call, target: LinkedFunction): Site {
    const frames = this.program.frames(caller, call);
    const at = frames.findIndex((name) => this.moduleOf(packageOf(name)) !== undefined);
    const owner = packageOf(frames[at] ?? caller.name);
    const { kind, argument } = entries[target.name]!;
    return {
      kind,
      caller,
      package: owner === 'main' ? this.program.info.path : owner,
      call: at > 0 ? frames[at - 1]! : target.name,
      argument: argument === undefined ? undefined : this.stringIn(call, argument),
      isOwn: this.moduleOf(owner)?.isOwn ?? false,
    };
  }

  /** Whether own code, or what runs before main, comes to a call by calling functions by their names. */
  private isReached({ caller, isOwn }: Site): boolean {
    const starts = ({ name, package: path }: LinkedFunction): boolean =>
      this.moduleOf(path)?.isOwn === true || name.startsWith(`${path}.init`);
    let reached: readonly LinkedFunction[] = [caller];
    const seen = new Set(reached);
    for (let depth = 0; depth < deepest && reached.length > 0 && !isOwn; depth++) {
      if (reached.some(starts)) return true;
      const others = [...this.packages.values()].flat().filter((one) => !seen.has(one));
      reached = this.program.callers(others, new Set(reached.map(({ entry }) => entry)));
      for (const one of reached) seen.add(one);
    }
    return isOwn;
  }

  private stringIn({ registers }: Call, at: number): string | undefined {
    const [address, length] = [registers[at], registers[at + 1]];
    if (length === 0) return '';
    return address === undefined || length === undefined || length < 0 || length > 4096
      ? undefined
      : this.program.constant(address, length);
  }

  /** The module of a package, as the program's build information lists them; none is the standard library. */
  private moduleOf(path: string): { readonly isOwn: boolean } | undefined {
    if (path === 'main') return { isOwn: true };
    if (this.standard.has(path)) return undefined;
    const name = this.moduleName(path);
    return name === undefined ? undefined : this.modules.get(name);
  }

  private moduleName(path: string): string | undefined {
    for (let name = path; ; name = name.slice(0, name.lastIndexOf('/'))) {
      if (this.modules.has(name)) return name;
      if (!name.includes('/')) return undefined;
    }
  }

  /**
   * Connections whose other end must prove who it is. A client speaks TLS where its package names an address that says so;
   * who fills a certificate pool is taken to bring the roots.
   */
  private secureSites(): readonly Site[] {
    if (this.hasRoots) return [];
    const pooling = this.sites.filter(({ kind }) => kind === 'own-roots');
    const hasOwnRoots = (site: Site): boolean =>
      pooling.some((pool) => pool.package === site.package || (pool.isOwn && !site.isOwn));
    const clients = this.sites.filter(({ kind }) => kind === 'http' || kind === 'tls-roots' || kind === 'request');
    return clients.filter((site) => {
      if (hasOwnRoots(site)) return false;
      const { kind, argument, isOwn, caller } = site;
      if (kind === 'tls-roots' && isOwn) return true;
      if (argument !== undefined) return argument.startsWith('https://');
      if (kind === 'request') return false;
      if (kind === 'http') {
        const near = this.schemesOf([caller]);
        if (near.secure !== near.plain) return near.secure;
        const around = this.schemesOf(
          this.packages.get(caller.package) ?? [],
          (one, place) => !this.prints(one, place),
        );
        if (!near.plain && around.secure && !around.plain) return true;
      }
      return !isOwn && this.isUsedSecurely(site.package);
    });
  }

  /** Whether own code that names a secure address calls into the module of a package. */
  private isUsedSecurely(path: string): boolean {
    const module = this.moduleName(path);
    const entryPoints = new Set(
      [...this.packages]
        .filter(([name]) => this.moduleName(name) === module)
        .flatMap(([, functions]) => functions.map(({ entry }) => entry)),
    );
    for (const [name, functions] of this.packages) {
      if (!this.moduleOf(name)?.isOwn) continue;
      for (const one of functions) {
        const { secure, plain } = this.schemesOf([one]);
        if (secure && !plain && this.program.code(one).calls.some(({ target }) => entryPoints.has(target))) return true;
      }
    }
    return false;
  }

  /** Which kinds of addresses functions name, in instructions that count. */
  private schemesOf(
    functions: readonly LinkedFunction[],
    counts: (one: LinkedFunction, place: { readonly at: number }) => boolean = () => true,
  ): { readonly secure: boolean; readonly plain: boolean } {
    this.schemes ??= this.program.findSchemes([...secureSchemes, ...plainSchemes]);
    const found = new Set<string>();
    for (const one of functions) {
      for (const place of this.program.references(one, this.schemes)) if (counts(one, place)) found.add(place.value);
    }
    const has = (schemes: readonly string[]) => schemes.some((scheme) => found.has(scheme));
    return { secure: has(secureSchemes), plain: has(plainSchemes) };
  }

  /** Whether the function that an instruction stands in by its source writes text for people. */
  private prints(one: LinkedFunction, place: { readonly at: number }): boolean {
    const [inner] = this.program.frames(one, place);
    return this.program
      .code(one)
      .calls.some((call) => this.printers.has(call.target) && this.program.frames(one, call).includes(inner!));
  }
}
