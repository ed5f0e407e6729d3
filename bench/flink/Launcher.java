import com.sun.management.OperatingSystemMXBean;
import java.lang.management.ManagementFactory;
import java.math.BigDecimal;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.time.Instant;
import java.time.LocalDateTime;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.stream.Stream;
import org.apache.flink.api.common.JobID;
import org.apache.flink.api.common.JobStatus;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.runtime.executiongraph.AccessExecutionGraph;
import org.apache.flink.runtime.minicluster.MiniCluster;
import org.apache.flink.runtime.minicluster.MiniClusterConfiguration;
import org.apache.flink.table.api.EnvironmentSettings;
import org.apache.flink.table.api.TableEnvironment;
import org.apache.flink.table.api.TableResult;
import org.apache.flink.table.functions.ScalarFunction;
import org.apache.flink.types.Row;
import org.apache.flink.util.CloseableIterator;

/**
 * Runs one SQL script on a Flink cluster within this process and tells, as JSON on standard output, what its
 * last statement took or what rows it gives.
 *
 * <p>Arguments: the file with the script, its statements parted by lines that say {@code ;;}; {@code time} or
 * {@code rows}; the number of slots, which is the parallelism too; for {@code time} how often the last statement runs
 * before it is measured and how often it is measured, as {@code 1,3}, for {@code rows} the positions of the columns that
 * count; then settings as {@code key=value}. The cluster is started once, and neither it nor the runs before the measured
 * ones count.
 */
public final class Launcher {
    private static final DateTimeFormatter TIME = DateTimeFormatter.ofPattern("yyyy-MM-dd HH:mm:ss.SSS");

    private Launcher() {}

    public static void main(String[] arguments) throws Exception {
        String[] statements = Files.readString(Path.of(arguments[0])).split("(?m)^;;$");
        int slots = Integer.parseInt(arguments[2]);
        Configuration settings = new Configuration();
        settings.setString("parallelism.default", arguments[2]);
        settings.setString("rest.bind-port", "0");
        for (int at = 4; at < arguments.length; at++) {
            String[] setting = arguments[at].split("=", 2);
            settings.setString(setting[0], setting[1]);
        }
        MiniClusterConfiguration shape =
                new MiniClusterConfiguration.Builder()
                        .setConfiguration(settings)
                        .setNumTaskManagers(1)
                        .setNumSlotsPerTaskManager(slots)
                        .build();
        String told;
        try (MiniCluster cluster = new MiniCluster(shape)) {
            cluster.start();
            URI address = cluster.getRestAddress().get();
            settings.setString("execution.target", "remote");
            settings.setString("rest.address", address.getHost());
            settings.setString("rest.port", Integer.toString(address.getPort()));
            TableEnvironment tables =
                    TableEnvironment.create(
                            EnvironmentSettings.newInstance().inStreamingMode().withConfiguration(settings).build());
            tables.getConfig().setLocalTimeZone(ZoneOffset.UTC);
            tables.createTemporarySystemFunction("count_char", CountChar.class);
            for (int at = 0; at < statements.length - 1; at++) {
                tables.executeSql(statements[at]).await();
            }
            String last = statements[statements.length - 1];
            int[] numbers = Stream.of(arguments[3].split(",")).mapToInt(Integer::parseInt).toArray();
            told = arguments[1].equals("rows") ? rows(tables, last, numbers) : time(cluster, tables, last, numbers);
        }
        System.out.println(told);
        // Threads of the cluster that are slow to stop are no reason to wait.
        System.exit(0);
    }

    /** Runs an INSERT so often without and so often with measuring. */
    private static String time(MiniCluster cluster, TableEnvironment tables, String insert, int[] runs)
            throws Exception {
        for (int run = 0; run < runs[0]; run++) {
            tables.executeSql(insert).await();
        }
        List<String> measures = new ArrayList<>();
        for (int run = 0; run < runs[1]; run++) {
            // What the run before has left behind is not for this one to clean up.
            System.gc();
            measures.add(measure(cluster, tables, insert));
        }
        return measures.toString();
    }

    private static String measure(MiniCluster cluster, TableEnvironment tables, String insert) throws Exception {
        OperatingSystemMXBean system = (OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
        long before = system.getProcessCpuTime();
        TableResult result = tables.executeSql(insert);
        JobID job = result.getJobClient().orElseThrow().getJobID();
        result.await();
        double cpu = (system.getProcessCpuTime() - before) / 1e9;
        // The client asks for the end at growing intervals; the cluster knows the times.
        AccessExecutionGraph graph = cluster.getExecutionGraph(job).get();
        long took = graph.getStatusTimestamp(JobStatus.FINISHED) - graph.getStatusTimestamp(JobStatus.RUNNING);
        return String.format(Locale.ROOT, "{\"seconds\": %.3f, \"cpu_seconds\": %.3f}", took / 1e3, cpu);
    }

    /** Runs a SELECT; tells how many rows are left after all retractions, and their digest. */
    private static String rows(TableEnvironment tables, String select, int[] columns) throws Exception {
        MessageDigest digest = MessageDigest.getInstance("MD5");
        long sum = 0;
        long count = 0;
        List<String> cells = new ArrayList<>();
        try (CloseableIterator<Row> rows = tables.executeSql(select).collect()) {
            while (rows.hasNext()) {
                Row row = rows.next();
                cells.clear();
                for (int at : columns) {
                    cells.add(cell(row.getField(at)));
                }
                byte[] hash = digest.digest(String.join("\u001f", cells).getBytes(StandardCharsets.UTF_8));
                long value = 0;
                for (int at = 7; at >= 0; at--) {
                    value = value << 8 | hash[at] & 0xff;
                }
                boolean added = row.getKind().shortString().startsWith("+");
                sum += added ? value : -value;
                count += added ? 1 : -1;
            }
        }
        return String.format("{\"rows\": %d, \"digest\": \"%016x\"}", count, sum);
    }

    /** A value as all engines' values are written for the digest. */
    private static String cell(Object value) {
        if (value == null) {
            return "\\N";
        }
        if (value instanceof BigDecimal number) {
            return number.signum() == 0 ? "0" : number.stripTrailingZeros().toPlainString();
        }
        if (value instanceof LocalDateTime time) {
            return time.format(TIME);
        }
        if (value instanceof Instant time) {
            return LocalDateTime.ofInstant(time, ZoneOffset.UTC).format(TIME);
        }
        return value.toString();
    }

    /** Counts a character in a text: q14's function. */
    public static final class CountChar extends ScalarFunction {
        public Long eval(String text, String character) {
            if (text == null || character == null || character.isEmpty()) {
                return text == null || character == null ? null : 0L;
            }
            long count = 0;
            char wanted = character.charAt(0);
            for (int at = 0; at < text.length(); at++) {
                if (text.charAt(at) == wanted) {
                    count++;
                }
            }
            return count;
        }
    }
}
