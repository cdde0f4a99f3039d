import { readContent } from './content';
import type { FileContent, Image } from './image';
import { findOwner } from './owner';
import { type FileTree, joinPath, type Node, PathError } from './tree';

export type LackKind = 'loader' | 'programs' | 'temp-files' | 'time-zones' | 'tls-roots' | 'users';

/** Something that the program of an image calls for and the image hasn't. */
export interface Lack {
  readonly kind: LackKind;
  /** `example.com/acme calls os.CreateTemp, and the image has no /tmp` */
  readonly message: string;
  readonly cure: string;
}

/** An image, and its files. */
export interface ImageFiles {
  readonly image: Pick<Image, 'config'>;
  readonly tree: FileTree;
}

/** What a program calls for. */
export interface Asked {
  /** Its dynamic loader. */
  readonly interpreter?: string | undefined;
  readonly needs: readonly {
    readonly kind: Exclude<LackKind, 'loader'> | 'local-time';
    /** Import path of the package whose code calls. */
    readonly package: string;
    /** Function of Go's standard library. */
    readonly call: string;
    /** The constant that decides: the zone, the program, the user or the group. */
    readonly argument: string | undefined;
  }[];
}

type Need = Asked['needs'][number];

/** What will fail when the image runs its program, where that is certain. */
export function lacksOf(files: ImageFiles, { interpreter, needs }: Asked): readonly Lack[] {
  const has = new ImageContent(files);
  const lacks: Lack[] = [];
  if (interpreter !== undefined && has.file(interpreter) === undefined) {
    lacks.push({
      kind: 'loader',
      message: `it needs the dynamic loader ${interpreter}, and the image has no such file: it can't start`,
      cure: 'Build it with CGO_ENABLED=0 (the option cgo of the build target), or start from a base image that has the loader.',
    });
  }
  const missing = needs.flatMap((need) => {
    const thing = missingOf(need, has);
    return thing ? [{ need, thing }] : [];
  });
  for (const { kind, subject, what, cure } of new Map(missing.map(({ thing }) => [thing.what, thing])).values()) {
    const callers = missing.filter(({ thing }) => thing.what === what).map(({ need }) => need);
    lacks.push({ kind, message: `${subject ?? callsOf(callers)}, and ${what}`, cure });
  }
  return lacks;
}

/** The program that the image starts; undefined where it is no file of the image. */
export function findEntrypoint(files: ImageFiles): Exclude<FileContent, Uint8Array> | undefined {
  const { Entrypoint, Cmd } = files.image.config;
  const [name] = Entrypoint?.length ? Entrypoint : (Cmd ?? []);
  const node = name === undefined ? undefined : new ImageContent(files).program(name);
  return node?.type === 'file' && !(node.content instanceof Uint8Array) ? node.content : undefined;
}

/** `a and b call time.LoadLocation("Europe/Berlin")`. */
function callsOf(needs: readonly Need[]): string {
  const packages = [...new Set(needs.map((need) => need.package))].sort();
  const calls = [
    ...new Set(needs.map(({ call, argument }) => (argument ? `${call}(${JSON.stringify(argument)})` : call))),
  ].sort();
  return `${list(packages)} ${packages.length > 1 ? 'call' : 'calls'} ${list(calls)}`;
}

function list(names: readonly string[]): string {
  const shown = names.length > 3 ? [...names.slice(0, 2), `${names.length - 2} more`] : names;
  return shown.length > 1 ? `${shown.slice(0, -1).join(', ')} and ${shown.at(-1)}` : shown.join('');
}

interface Missing {
  readonly kind: LackKind;
  /** `the image has no ...` */
  readonly what: string;
  readonly cure: string;
  /** In place of who calls. */
  readonly subject?: string;
}

function missingOf({ kind, call, argument }: Need, has: ImageContent): Missing | undefined {
  const env = (name: string): string => has.env.get(name) ?? '';
  switch (kind) {
    case 'tls-roots':
      return has.roots() ? undefined : roots;
    case 'time-zones':
      if (env('ZONEINFO') !== '' || has.zone(argument)) return undefined;
      return argument !== undefined && has.zone(undefined)
        ? { ...zones, what: `the image has no time zone ${argument}` }
        : zones;
    case 'local-time': {
      const name = env('TZ').replace(/^:/, '');
      const isUtc = /^(?:Etc\/)?(?:UTC|UCT|GMT|Universal|Zulu|Greenwich)?$/.test(name);
      if (isUtc || (name.startsWith('/') ? has.file(name) : has.zone(name))) return undefined;
      const what = 'the image has no such time zone: local time is UTC';
      return { ...zones, subject: `the image sets TZ=${name}`, what };
    }
    case 'users':
      return call.includes('Group') ? missingGroup(argument, has) : missingUser(call, argument, has);
    case 'temp-files': {
      const folder = env('TMPDIR') || '/tmp';
      const state = has.writable(folder);
      if (state === 'yes') return undefined;
      const what =
        state === 'missing' ? `the image has no ${folder}` : `${folder} can't be written by the user ${has.userName}`;
      return {
        kind,
        what,
        cure: `Set ENV TMPDIR=/dev/shm in the Dockerfile (memory, 64 MB), or COPY --chown=${has.userName} a folder to ${folder}.`,
      };
    }
    case 'programs': {
      const name = argument!;
      const isKnown = !name.startsWith('/proc/') && (name.startsWith('/') || !name.includes('/'));
      if (!isKnown || has.program(name)) return undefined;
      const what = `the image has no ${name}${name.startsWith('/') ? '' : ' in its PATH'}`;
      return { kind, what, cure: 'COPY the program into the image, or take a base image that has it.' };
    }
  }
}

const roots: Missing = {
  kind: 'tls-roots',
  what: 'the image has no root certificates',
  cure: 'import _ "golang.org/x/crypto/x509roots/fallback", or COPY certificates to /etc/ssl/certs/ca-certificates.crt.',
};
const zones: Missing = {
  kind: 'time-zones',
  what: 'the image has no time zones',
  cure: 'import _ "time/tzdata", or build with the tag timetzdata.',
};

function missingUser(call: string, argument: string | undefined, has: ImageContent): Missing | undefined {
  const users = has.table('etc/passwd');
  // https://github.com/golang/go/blob/go1.26.0/src/os/user/lookup_stubs.go; engines set HOME themselves.
  const isCurrent = call.endsWith('.Current');
  const me = String(has.user.uid);
  const field = isCurrent || call.endsWith('Id') ? 2 : 0;
  const wanted = isCurrent ? me : argument;
  const name = has.env.get('USER');
  if (name && (isCurrent || (field === 2 ? wanted === me : wanted === name))) return undefined;
  if (users && (wanted === undefined || users.some((fields) => fields[field] === wanted))) return undefined;
  const what = users ? `/etc/passwd of the image has no user ${wanted}` : 'the image has no /etc/passwd';
  const cure = isCurrent
    ? `Set ENV USER=app in the Dockerfile, or COPY an /etc/passwd with the user ${me}.`
    : `COPY an /etc/passwd with ${wanted === undefined ? 'the users' : `the user ${wanted}`} into the image.`;
  return { kind: 'users', what, cure };
}

function missingGroup(argument: string | undefined, has: ImageContent): Missing | undefined {
  const groups = has.table('etc/group');
  if (groups && (argument === undefined || groups.some((fields) => fields[0] === argument || fields[2] === argument))) {
    return undefined;
  }
  const what = groups ? `/etc/group of the image has no group ${argument}` : 'the image has no /etc/group';
  const cure = `COPY an /etc/group with ${argument === undefined ? 'the groups' : `the group ${argument}`} into the image.`;
  return { kind: 'users', what, cure };
}

/** https://github.com/golang/go/blob/go1.26.0/src/crypto/x509/root_linux.go */
const rootFiles = [
  '/etc/ssl/certs/ca-certificates.crt',
  '/etc/pki/tls/certs/ca-bundle.crt',
  '/etc/ssl/ca-bundle.pem',
  '/etc/pki/tls/cacert.pem',
  '/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem',
  '/etc/ssl/cert.pem',
];
const rootFolders = ['/etc/ssl/certs', '/etc/pki/tls/certs'];
/** https://github.com/golang/go/blob/go1.26.0/src/time/zoneinfo_unix.go */
const zoneFolders = ['/usr/share/zoneinfo', '/usr/share/lib/zoneinfo', '/usr/lib/locale/TZ', '/etc/zoneinfo'];
/** What engines set where the image sets none. */
const defaultPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** Questions to an image's files and configuration. */
class ImageContent {
  readonly env: ReadonlyMap<string, string>;
  readonly user: { readonly uid: number; readonly gid: number };
  readonly userName: string;
  private readonly tree: FileTree;
  private readonly workingFolder: string;
  private readonly volumes: readonly string[];

  constructor({ image: { config }, tree }: ImageFiles) {
    this.tree = tree;
    this.env = new Map(
      (config.Env ?? []).map((line) => {
        const equals = line.indexOf('=');
        return [line.slice(0, equals), line.slice(equals + 1)];
      }),
    );
    this.userName = config.User || '0';
    this.user = findOwner(tree, this.userName).owner;
    this.workingFolder = config.WorkingDir ?? '/';
    this.volumes = Object.keys(config.Volumes ?? {});
  }

  /** What a path leads to. */
  file(path: string): Node | undefined {
    try {
      return this.tree.get(this.tree.resolve(path));
    } catch (error) {
      // Links in a circle lead nowhere.
      if (error instanceof PathError) return undefined;
      throw error;
    }
  }

  /** An executable file, looked for as execvp does. */
  program(name: string): Node | undefined {
    const path = this.env.get('PATH') ?? defaultPath;
    const candidates = name.includes('/')
      ? [name.startsWith('/') ? name : joinPath(this.workingFolder, name)]
      : path.split(':').map((folder) => joinPath(folder, name));
    return candidates
      .map((candidate) => this.file(candidate))
      .find((node) => node?.type === 'file' && (node.mode & 0o111) !== 0);
  }

  /** Who names a place of their own is taken to have certificates there when the image runs. */
  roots(): boolean {
    if (this.env.get('SSL_CERT_FILE') || this.env.get('SSL_CERT_DIR')) return true;
    return (
      rootFiles.some((path) => this.file(path)?.type === 'file') ||
      rootFolders.some((path) => hasChildren(this.file(path)))
    );
  }

  /** Whether there is this time zone, or where no name is given, any. */
  zone(name: string | undefined): boolean {
    return zoneFolders.some((folder) =>
      name === undefined ? hasChildren(this.file(folder)) : this.file(`${folder}/${name}`)?.type === 'file',
    );
  }

  /** The lines of a file like /etc/passwd. */
  table(path: string): readonly (readonly string[])[] | undefined {
    const node = this.file(path);
    if (node?.type !== 'file') return undefined;
    return Buffer.from(readContent(node.content))
      .toString('utf8')
      .split('\n')
      .map((line) => line.trim().split(':'));
  }

  /** Whether the image's user can make files in a folder. */
  writable(folder: string): 'yes' | 'no' | 'missing' {
    // Every engine mounts it, for everybody.
    if (joinPath(folder) === 'dev/shm') return 'yes';
    const isVolume = this.volumes.some((volume) => joinPath(volume) === joinPath(folder));
    // An engine makes a volume's folder, for root.
    const node = this.file(folder) ?? (isVolume ? { type: 'directory', mode: 0o755, uid: 0, gid: 0 } : undefined);
    if (node?.type !== 'directory') return 'missing';
    const { uid, gid } = this.user;
    const wanted = node.uid === uid ? 0o300 : node.gid === gid ? 0o030 : 0o003;
    return uid === 0 || (node.mode & wanted) === wanted ? 'yes' : 'no';
  }
}

function hasChildren(node: Node | undefined): boolean {
  return node?.type === 'directory' && node.children.size > 0;
}
