// biome-ignore-all lint/suspicious/noTemplateCurlyInString: Dockerfiles write variables as templates do.
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** A Dockerfile over the files of `writeContext`. */
export interface DockerfileCase {
  readonly name: string;
  readonly dockerfile: string;
  readonly buildArgs?: Readonly<Record<string, string>>;
  readonly target?: string;
  /** Text of .dockerignore. */
  readonly ignore?: string;
}

/** Writes the context that all cases share. Modes are set explicitly: the umask must not matter. */
export function writeContext(root: string): void {
  const file = (path: string, content: string, mode = 0o644) => {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), content);
    chmodSync(join(root, path), mode);
  };
  file('hello', 'hello\n', 0o755);
  file('a.txt', 'a');
  file('b.txt', 'bb', 0o600);
  file('empty', '');
  file('c d.txt', 'space');
  file('suid', 'suid', 0o4755);
  file('dir/one.txt', 'one', 0o640);
  file('dir/two.md', 'two');
  file('dir/sub/three.txt', 'three', 0o444);
  file('dir/sub/deep/four.txt', 'four');
  file('dist/linux/amd64/app', 'app', 0o755);
  file('dist/linux/arm64/app', 'arm app', 0o755);
  file('etc/passwd', 'root:x:0:0::/:/sh\nweb:x:101:102:Web:/:/sh\n');
  file('etc/group', 'root:x:0:\nstaff:x:50:web\n');
  file('x[1].txt', 'brackets');
  mkdirSync(join(root, 'void'));
  for (const folder of [
    'dir',
    'dir/sub',
    'dir/sub/deep',
    'dist',
    'dist/linux',
    'dist/linux/amd64',
    'dist/linux/arm64',
    'etc',
    'void',
  ]) {
    chmodSync(join(root, folder), 0o755);
  }
  chmodSync(join(root, 'dir/sub/deep'), 0o700);
  symlinkSync('a.txt', join(root, 'link-file'));
  symlinkSync('dir', join(root, 'link-dir'));
  symlinkSync('../a.txt', join(root, 'dir/link-up'));
  symlinkSync('/nowhere', join(root, 'dir/link-dangling'));
  const packed = join(root, 'pack');
  mkdirSync(join(packed, 'p/q'), { recursive: true });
  writeFileSync(join(packed, 'p/q/file'), 'packed');
  chmodSync(join(packed, 'p/q/file'), 0o751);
  chmodSync(join(packed, 'p'), 0o755);
  chmodSync(join(packed, 'p/q'), 0o711);
  symlinkSync('q/file', join(packed, 'p/link'));
  const tar = (...args: string[]) =>
    execFileSync('tar', [
      '--owner=7',
      '--group=8',
      '--numeric-owner',
      '--mtime=@0',
      '--sort=name',
      '--format=gnu',
      ...args,
    ]);
  tar('-C', packed, '-cf', join(root, 'plain.tar'), 'p');
  tar('-C', packed, '-czf', join(root, 'zipped.tgz'), 'p');
  tar('-C', packed, '-czf', join(root, 'noextension'), 'p');
  rmSync(packed, { recursive: true });
  for (const archive of ['plain.tar', 'zipped.tgz', 'noextension']) chmodSync(join(root, archive), 0o644);
}

const lines = (...text: readonly string[]) => `${text.join('\n')}\n`;

/** What every builder since Docker 20.10 takes. */
export const corpus: readonly DockerfileCase[] = [
  { name: 'one file', dockerfile: lines('FROM scratch', 'COPY hello /hello', 'ENTRYPOINT ["/hello"]') },
  {
    name: 'the scaffolded Dockerfile',
    dockerfile: lines(
      'FROM scratch',
      'ARG TARGETPLATFORM',
      'COPY dist/${TARGETPLATFORM}/app /app',
      'USER 65532:65532',
      'ENTRYPOINT ["/app"]',
    ),
  },
  {
    name: 'relative destination',
    dockerfile: lines('FROM scratch', 'WORKDIR /srv/app', 'COPY hello .', 'COPY a.txt sub/'),
  },
  { name: 'file to new name in new folder', dockerfile: lines('FROM scratch', 'COPY hello /usr/local/bin/greet') },
  { name: 'folder gives its content', dockerfile: lines('FROM scratch', 'COPY dir /data') },
  { name: 'folder with slashes', dockerfile: lines('FROM scratch', 'COPY dir/ /data/', 'COPY ./void /void') },
  {
    name: 'folder merged over folder',
    dockerfile: lines('FROM scratch', 'COPY dir /data', 'COPY dir/sub /data/sub/', 'COPY etc /data'),
  },
  { name: 'several sources', dockerfile: lines('FROM scratch', 'COPY a.txt b.txt dir /all/') },
  { name: 'several sources without a slash', dockerfile: lines('FROM scratch', 'COPY dir etc /all') },
  { name: 'JSON form with spaces', dockerfile: lines('FROM scratch', 'COPY ["c d.txt", "/with space/"]') },
  {
    name: 'wildcards',
    dockerfile: lines('FROM scratch', 'COPY *.txt /w/', 'COPY dir/*.md /m/', 'COPY d?r/s*/t*.txt /q/'),
  },
  { name: 'wildcard over folders', dockerfile: lines('FROM scratch', 'COPY di* /w/') },
  {
    name: 'wildcard classes and escapes',
    dockerfile: lines('FROM scratch', 'COPY [ab].txt /w/', 'COPY x[[]1].txt /x/'),
  },
  { name: 'wildcard without a match', dockerfile: lines('FROM scratch', 'COPY a.txt nothing* /w/') },
  {
    name: 'links are followed at the top and kept inside',
    dockerfile: lines('FROM scratch', 'COPY link-file /l', 'COPY link-dir /d', 'COPY dir /e'),
  },
  {
    name: 'chown by number',
    dockerfile: lines('FROM scratch', 'COPY --chown=10:20 dir /d', 'COPY --chown=5 a.txt /x/y/a'),
  },
  {
    name: 'chown by name',
    dockerfile: lines(
      'FROM scratch',
      'COPY etc /etc',
      'COPY --chown=web a.txt /1',
      'COPY --chown=web:staff a.txt /2',
      'COPY --chown=7:staff a.txt /3',
    ),
  },
  {
    name: 'chmod of files',
    dockerfile: lines('FROM scratch', 'COPY --chmod=0700 a.txt /a', 'COPY --chmod=0551 --chown=1:2 hello /h'),
  },
  {
    name: 'chmod of folders',
    dockerfile: lines('FROM scratch', 'COPY --chmod=755 dir /new', 'WORKDIR /there', 'COPY --chmod=711 dir /there'),
  },
  { name: 'setuid is kept', dockerfile: lines('FROM scratch', 'COPY suid /') },
  {
    name: 'ENV in all forms',
    dockerfile: lines(
      'FROM scratch',
      'ENV A=1 B="two words" C=three\\ words D=',
      'ENV OLD  form with spaces',
      'ENV E=\'$A\' F="$A" G=${A}x H=$A$B',
      'COPY a.txt /',
    ),
  },
  {
    name: 'ENV sees the values from before',
    dockerfile: lines('FROM scratch', 'ENV abc=hello', 'ENV abc=bye def=$abc', 'ENV ghi=$abc', 'COPY a.txt /'),
  },
  { name: 'PATH of scratch', dockerfile: lines('FROM scratch', 'ENV PATH=/app:$PATH', 'COPY a.txt /') },
  {
    name: 'modifiers',
    dockerfile: lines(
      'FROM scratch',
      'ARG unset',
      'ENV set=v empty=',
      'ENV a=${unset:-d} b=${set:-d} c=${empty:-d} e=${set:+alt} f=${unset:+alt} g=\\$set h=${unset:-${set}}',
      'COPY a.txt /',
    ),
  },
  {
    name: 'ARG with default and build argument',
    buildArgs: { NAME: 'b.txt' },
    dockerfile: lines(
      'FROM scratch',
      'ARG NAME=a.txt',
      'ARG OTHER=$NAME',
      'COPY ${NAME} /x',
      'LABEL n=$NAME o=$OTHER u=$UNDECLARED',
    ),
  },
  {
    name: 'global ARG',
    buildArgs: { B: 'given' },
    dockerfile: lines(
      'ARG BASE=scratch',
      'ARG A=global',
      'ARG B',
      'ARG C=$A-c',
      'FROM ${BASE}',
      'ARG A',
      'ARG B',
      'ARG C',
      'LABEL a=$A b=$B c=$C',
      'COPY a.txt /',
    ),
  },
  {
    name: 'ARG is out of scope in the next stage',
    dockerfile: lines(
      'FROM scratch AS one',
      'ARG A=1',
      'COPY a.txt /',
      'FROM scratch',
      'LABEL a=x$A',
      'COPY --from=one / /',
    ),
  },
  {
    name: 'ARG is inherited by FROM stage',
    dockerfile: lines('FROM scratch AS one', 'ARG A=1', 'ENV E=2', 'COPY a.txt /', 'FROM one', 'LABEL a=x$A e=$E'),
  },
  {
    name: 'ENV after ARG',
    buildArgs: { V: 'arg' },
    dockerfile: lines('FROM scratch', 'ARG V', 'ENV V=env', 'LABEL v=$V', 'COPY a.txt /'),
  },
  {
    name: 'platform arguments',
    dockerfile: lines(
      'FROM scratch',
      'ARG TARGETOS',
      'ARG TARGETARCH',
      'ARG TARGETVARIANT',
      'LABEL p=$TARGETOS/$TARGETARCH/$TARGETVARIANT n=$TARGETPLATFORM',
      'COPY dist/$TARGETOS/$TARGETARCH/app /',
    ),
  },
  {
    name: 'labels',
    dockerfile: lines(
      'FROM scratch',
      'LABEL a=1 "b c"="d e" f.g="multi\\',
      'line"',
      'LABEL a=2',
      'LABEL old form',
      'COPY a.txt /',
    ),
  },
  {
    name: 'USER, EXPOSE, VOLUME, STOPSIGNAL',
    dockerfile: lines(
      'FROM scratch',
      'ARG P=9000',
      'USER web:staff',
      'EXPOSE 80 443/tcp 53/udp 8000-8002 $P',
      'VOLUME /data /more',
      'VOLUME ["/j s"]',
      'STOPSIGNAL SIGINT',
      'COPY a.txt /',
    ),
  },
  {
    name: 'CMD and ENTRYPOINT in exec form',
    dockerfile: lines('FROM scratch', 'COPY hello /', 'ENTRYPOINT ["/hello", "a b"]', 'CMD ["-x", "$HOME"]'),
  },
  {
    name: 'CMD and ENTRYPOINT in shell form',
    dockerfile: lines(
      'FROM scratch',
      'COPY hello /',
      'CMD echo  "$HOME"',
      'SHELL ["/busybox", "sh", "-c"]',
      'ENTRYPOINT exec /hello $X',
    ),
  },
  {
    name: 'ENTRYPOINT resets an inherited CMD',
    dockerfile: lines(
      'FROM scratch AS base',
      'COPY hello /',
      'CMD ["x"]',
      'ENTRYPOINT ["/e"]',
      'FROM base',
      'ENTRYPOINT ["/other"]',
    ),
  },
  {
    name: 'ENTRYPOINT keeps a CMD of its own stage',
    dockerfile: lines('FROM scratch', 'COPY hello /', 'CMD ["x"]', 'ENTRYPOINT ["/e"]'),
  },
  {
    name: 'empty ENTRYPOINT and CMD',
    dockerfile: lines(
      'FROM scratch AS base',
      'COPY hello /',
      'CMD ["x"]',
      'ENTRYPOINT ["/e"]',
      'FROM base',
      'ENTRYPOINT []',
      'CMD []',
    ),
  },
  {
    name: 'HEALTHCHECK',
    dockerfile: lines(
      'FROM scratch',
      'COPY hello /',
      'HEALTHCHECK --interval=1m30s --timeout=3s --start-period=500ms --retries=4 CMD ["/hello", "-check"]',
    ),
  },
  {
    name: 'HEALTHCHECK in shell form, and NONE',
    dockerfile: lines(
      'FROM scratch AS a',
      'COPY hello /',
      'HEALTHCHECK CMD /hello -check || exit 1',
      'FROM a AS b',
      'HEALTHCHECK NONE',
    ),
  },
  {
    name: 'WORKDIR chain',
    dockerfile: lines(
      'FROM scratch',
      'ENV D=deep',
      'WORKDIR /a',
      'WORKDIR b',
      'WORKDIR ../c/$D',
      'COPY a.txt ./',
      'WORKDIR /',
    ),
  },
  {
    name: 'WORKDIR belongs to USER',
    dockerfile: lines('FROM scratch', 'USER 12:34', 'WORKDIR /home/me', 'COPY a.txt .'),
  },
  {
    name: 'WORKDIR belongs to a named USER',
    dockerfile: lines('FROM scratch', 'COPY etc /etc', 'USER web', 'WORKDIR /home/me', 'USER nobody', 'WORKDIR /other'),
  },
  {
    name: 'COPY --from by name and index',
    dockerfile: lines(
      'FROM scratch AS Build',
      'COPY --chown=3:4 dir /out',
      'FROM scratch',
      'COPY --from=build /out/sub /s',
      'COPY --from=0 /out/one.txt /one',
      'COPY --from=BUILD /out/*.md /w/',
    ),
  },
  {
    name: 'COPY --from keeps owners, --chown changes them',
    dockerfile: lines(
      'FROM scratch AS a',
      'COPY --chown=3:4 dir /out',
      'FROM scratch',
      'COPY --from=a /out /kept',
      'COPY --from=a --chown=9 /out /mine',
      'COPY --from=a /out/two.md /up/',
    ),
  },
  {
    name: 'COPY --from follows links of the stage',
    dockerfile: lines(
      'FROM scratch AS a',
      'COPY dir /real',
      'COPY a.txt /nowhere',
      'COPY dir /x',
      'FROM scratch',
      'COPY --from=a /x/link-dangling /file',
      'COPY --from=a /real/ /',
    ),
  },
  {
    name: 'FROM stage adds to it',
    dockerfile: lines(
      'FROM scratch AS a',
      'COPY a.txt /a',
      'WORKDIR /w',
      'USER 5',
      'EXPOSE 1',
      'FROM a',
      'COPY b.txt b',
      'EXPOSE 2',
    ),
  },
  {
    name: 'a target stage',
    target: 'middle',
    dockerfile: lines(
      'FROM scratch AS first',
      'COPY a.txt /',
      'FROM scratch AS middle',
      'COPY b.txt /',
      'FROM scratch',
      'RUN never',
    ),
  },
  {
    name: 'an unneeded stage may need an engine',
    dockerfile: lines('FROM scratch AS x', 'RUN never', 'FROM scratch', 'COPY a.txt /'),
  },
  { name: 'ADD of local files', dockerfile: lines('FROM scratch', 'ADD a.txt /x/', 'ADD dir /d') },
  {
    name: 'ADD unpacks tar and tar.gz whatever the name',
    dockerfile: lines(
      'FROM scratch',
      'ADD plain.tar /t',
      'ADD zipped.tgz /z/',
      'ADD noextension /n/',
      'COPY plain.tar /t.tar',
    ),
  },
  { name: 'ADD --chown of files', dockerfile: lines('FROM scratch', 'ADD --chown=1:2 dir /t') },
  {
    name: 'ADD of an archive over files',
    dockerfile: lines('FROM scratch', 'COPY dir /p', 'COPY a.txt /p/q', 'ADD plain.tar /'),
  },
  {
    name: 'links in the destination',
    dockerfile: lines(
      'FROM scratch AS a',
      'COPY dir /dir',
      'COPY link-dir /ignored',
      'ADD plain.tar /',
      'COPY a.txt /p/link',
      'COPY b.txt /dir/link-dangling',
    ),
  },
  {
    name: 'comments, continuations and case',
    dockerfile: lines(
      '# a comment',
      '  from scratch',
      '\t# another',
      'copy a.txt \\',
      '# inside',
      '   b.txt \\',
      '',
      ' /x/',
      'CoPy hello /',
      'env A=1 \\',
      '    B=2',
    ),
  },
  {
    name: 'escape directive',
    dockerfile: lines('# escape=`', 'FROM scratch', 'COPY a.txt `', '  /a', 'ENV W=C:\\dir X=`$Y', 'COPY b.txt /b\\c'),
  },
  { name: 'CRLF and BOM', dockerfile: '\ufeffFROM scratch\r\nCOPY a.txt \\\r\n  /a\r\nENV A=1\r\nCMD ["x"]\r\n' },
  {
    name: 'MAINTAINER and ONBUILD are recorded',
    dockerfile: lines(
      'FROM scratch',
      'MAINTAINER Me <me@example.com>',
      'ONBUILD COPY a.txt /',
      'ONBUILD  RUN x',
      'COPY hello /',
    ),
  },
  {
    name: 'quotes in paths',
    dockerfile: lines('FROM scratch', 'ENV D="q dir"', 'COPY "a.txt" /"$D"/', 'WORKDIR "/w x"', 'WORKDIR $D'),
  },
  {
    name: 'replacing files',
    dockerfile: lines('FROM scratch', 'COPY a.txt /f', 'COPY b.txt /f', 'COPY dir /d', 'COPY hello /d/one.txt'),
  },
  { name: 'the root', dockerfile: lines('FROM scratch', 'COPY dir /', 'COPY a.txt .', 'COPY b.txt ./') },
];

/** What BuildKit takes only since versions later than Docker 20.10's: compared with what BuildKit 0.25 made of them. */
export const modernCorpus: readonly DockerfileCase[] = [
  {
    name: 'heredocs',
    dockerfile: lines(
      'FROM scratch',
      'ARG A=1',
      'COPY <<EOF /a.conf',
      'a=$A b="$A" c=\\$A',
      '\tx',
      'EOF',
      'COPY <<-"EOF" <<two /etc/x/',
      '\t\ta=$A',
      '\tEOF',
      'second',
      'two',
      'COPY --chmod=755 --chown=1:2 <<EOF a.txt /mixed/',
      'EOF',
      'ADD <<E /added',
      'x',
      'E',
    ),
  },
  {
    name: 'removing patterns',
    dockerfile: lines(
      'FROM scratch',
      'ENV V=foo.bar.baz',
      'ENV a=${V#*.} b=${V##*.} c=${V%.*} d=${V%%.*} e=${V/./-} f=${V//./-} g=${V//[a]/x} h=${V#f?o} i=${V%\\*.baz}',
      'COPY a.txt /',
    ),
  },
  {
    name: 'error modifiers that hold',
    dockerfile: lines(
      'FROM scratch',
      'ENV V=x',
      'ENV a=${V:?no} b=${V?no} c=${U-d} d=${V-d} e=${V+s} f=${U+s}',
      'COPY a.txt /',
    ),
  },
  {
    name: '--link',
    dockerfile: lines('FROM scratch', 'COPY --link a.txt /new/folder/', 'COPY --link --chown=3:4 dir /data'),
  },
  {
    name: '--exclude',
    dockerfile: lines(
      'FROM scratch',
      'COPY --exclude=*.md --exclude=sub/deep dir /a',
      'COPY --exclude=sub dir /b',
      'COPY --exclude=** --exclude=!**/*.txt dir /c',
    ),
  },
  { name: 'directives', dockerfile: lines('# check=skip=all', '# escape=\\', 'FROM scratch', 'COPY a.txt /') },
  {
    name: 'ADD --unpack=false',
    dockerfile: lines('FROM scratch', 'ADD --unpack=false plain.tar /t.tar', 'ADD --unpack plain.tar /t'),
  },
  {
    name: 'HEALTHCHECK --start-interval',
    dockerfile: lines('FROM scratch', 'COPY a.txt /', 'HEALTHCHECK --start-interval=2s CMD ["x"]'),
  },
];

/** What neither Docker nor we take. */
export const refused: readonly DockerfileCase[] = [
  { name: 'a source that is not there', dockerfile: lines('FROM scratch', 'COPY missing /') },
  { name: 'an unknown instruction', dockerfile: lines('FROM scratch', 'COPPY a.txt /') },
  { name: 'an unknown flag', dockerfile: lines('FROM scratch', 'COPY --chmud=1 a.txt /') },
  { name: 'no FROM', dockerfile: lines('COPY a.txt /') },
  { name: 'no destination', dockerfile: lines('FROM scratch', 'COPY a.txt') },
  { name: 'ENV without value', dockerfile: lines('FROM scratch', 'ENV A', 'COPY a.txt /') },
  { name: 'an unknown stage index', dockerfile: lines('FROM scratch', 'COPY --from=3 /a /') },
  { name: 'a bad port', dockerfile: lines('FROM scratch', 'EXPOSE http', 'COPY a.txt /') },
  { name: 'a bad signal', dockerfile: lines('FROM scratch', 'STOPSIGNAL SIGNONE', 'COPY a.txt /') },
  { name: 'a source that is a dangling link', dockerfile: lines('FROM scratch', 'COPY dir/link-dangling /x/') },
  { name: 'a bad escape directive', dockerfile: lines('# escape=x', 'FROM scratch', 'COPY a.txt /') },
  { name: 'a bad substitution', dockerfile: lines('FROM scratch', 'COPY ${} /', 'COPY a.txt /') },
  { name: 'a bad stage name', dockerfile: lines('FROM scratch AS 1st', 'COPY a.txt /') },
  { name: 'SHELL without JSON', dockerfile: lines('FROM scratch', 'SHELL sh -c', 'COPY a.txt /') },
  { name: 'numbers in JSON form', dockerfile: lines('FROM scratch', 'COPY a.txt /', 'CMD [1]') },
  { name: 'a bad duration', dockerfile: lines('FROM scratch', 'HEALTHCHECK --interval=5 CMD x', 'COPY a.txt /') },
  { name: 'an unterminated quote', dockerfile: lines('FROM scratch', 'LABEL a="b', 'COPY a.txt /') },
  { name: 'a folder over a file', dockerfile: lines('FROM scratch', 'COPY a.txt /x', 'COPY dir /x') },
  { name: 'a file over a folder', dockerfile: lines('FROM scratch', 'WORKDIR /x/one.txt', 'COPY dir /x') },
  { name: 'an unknown target', target: 'nope', dockerfile: lines('FROM scratch', 'COPY a.txt /') },
];
